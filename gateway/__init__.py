"""The gateway: stores telemetry, notices what is going wrong, and tells the right person once, in time."""
