"""Time to a limit with an interval, and the probability of failure within a horizon. Pure."""
