"""Ways to write to a contact: adapters behind ports.Channel."""
