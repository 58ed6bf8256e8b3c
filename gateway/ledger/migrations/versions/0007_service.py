"""Service records: which part of a device was serviced when, and whether it had failed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "service",
        sa.Column(
            "service_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("device_id", sa.Text(), server_default="", nullable=False),
        sa.Column("component", sa.Text(), server_default="", nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("author", sa.Text(), server_default="", nullable=False),
        sa.Column("noted_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", name=op.f("pk_service")),
        sa.UniqueConstraint("device_id", "component", "at_ms", name=op.f("uq_service_device_id_component_at_ms")),
    )


def downgrade() -> None:
    op.drop_table("service")
