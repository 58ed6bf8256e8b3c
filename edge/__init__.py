"""The agent on the device. Standard library and paho-mqtt only."""
