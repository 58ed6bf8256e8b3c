"""Names, numbers and what was said are sealed at rest.

No table changes. `ledger.keys` seals what is there right after the migrations, with the key of the key file; this step
keeps earlier versions, which could not read it, from opening the ledger. Going back opens everything again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.ledger.keys import NAME, rewrite
from gateway.ledger.seal import Sealed

revision = "0006"
down_revision = "0005"

SEALED = (
    ("customers", "customer_id", ("name", "note")),
    ("contacts", "contact_id", ("address", "name")),
    ("consents", "consent_id", ("wording",)),
    ("ticket_events", "event_id", ("text",)),
    ("outcomes", "outcome_id", ("note",)),
    ("messages", "message_id", ("text",)),
)


def upgrade() -> None:
    pass


def downgrade() -> None:
    tables = [
        sa.table(name, sa.column(key), *(sa.column(column, Sealed(f"{name}.{column}")) for column in columns))
        for name, key, columns in SEALED
    ]
    rewrite(op.get_bind(), tables, plain=True)
    op.execute(sa.text("DELETE FROM settings WHERE key = :name").bindparams(name=NAME))
