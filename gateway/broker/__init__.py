"""The embedded NATS server: configuration, supervision, device credentials and topic permissions."""
