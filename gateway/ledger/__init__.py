"""What the gateway remembers: registry, people, casebook, outbox, access, audit; on SQLite or PostgreSQL.

`open_ledger` gives the engine: migrated, and with the keys of its personal data. Query functions take it first, block,
and are each one transaction.
"""

from gateway.ledger.database import canonical, connect, migrate
from gateway.ledger.keys import check_keys, open_ledger, rekey

__all__ = ["canonical", "check_keys", "connect", "migrate", "open_ledger", "rekey"]
