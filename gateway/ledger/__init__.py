"""What the gateway remembers: registry, people, casebook, outbox, access, audit; on SQLite or PostgreSQL.

Query functions take the engine (`ledger.connect(url)`) first, block, and are each one transaction.
"""

from gateway.ledger.database import canonical, connect, migrate

__all__ = ["canonical", "connect", "migrate"]
