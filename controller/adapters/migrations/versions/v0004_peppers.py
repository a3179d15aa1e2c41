"""Which pepper each key was digested under."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Afterwards the keys that there are belong to the first."""
    op.add_column("api_key", sa.Column("pepper_id", sa.Integer, nullable=False, server_default=sa.text("1")))
