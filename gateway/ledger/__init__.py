"""Tables and queries: registry, customers, casework, outbox, audit."""
