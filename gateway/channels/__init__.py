"""Ways to write to contacts. `channels.twilio` is imported where it is used: its client takes a third of a second."""

from gateway.channels.console import ConsoleChannel

__all__ = ["ConsoleChannel"]
