"""An index of all that the fleet page sorts, filters and counts by, so that it need not read whole devices."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = ["device_id", "revoked", "type", "firmware", "online", "presence_ms", "customer_id"]


def upgrade() -> None:
    op.create_index("ix_devices_fleet", "devices", COLUMNS)


def downgrade() -> None:
    op.drop_index("ix_devices_fleet", table_name="devices")
