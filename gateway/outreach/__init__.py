"""May it be sent now, what it says, in whose language. Pure."""
