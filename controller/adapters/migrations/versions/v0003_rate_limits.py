"""What of each tenant's minute has been granted to gateways."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Afterwards there is a table for it, empty: limits begin with the next request."""
    op.create_table(
        "rate_minute",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("minute", sa.BigInteger, primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
    )
