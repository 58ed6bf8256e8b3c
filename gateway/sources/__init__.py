"""Where deliveries come from: adapters behind ports.TelemetrySource."""
