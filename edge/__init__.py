"""The agent on the device. Standard library and paho-mqtt only."""

__version__ = "0.1.0"
