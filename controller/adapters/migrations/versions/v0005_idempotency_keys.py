"""Which requests are being answered under which keys, and were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Afterwards there is a table for it, empty: keys count from the next request."""
    op.create_table(
        "idempotency_key",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("finished", sa.Boolean, nullable=False),
        sa.Column("expires_at_s", sa.Float, nullable=False),
    )
    op.create_index("idempotency_key_expires_at_s", "idempotency_key", ["expires_at_s"])
