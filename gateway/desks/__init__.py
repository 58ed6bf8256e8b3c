"""Where tickets live: adapters behind ports.TicketDesk."""
