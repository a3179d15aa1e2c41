"""The pool that each request belongs to, wherever it was served: so that spills can be summed by pool."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Afterwards new rows say it; of older ones it is not known."""
    op.add_column("ledger", sa.Column("home_pool", sa.Text))
    op.add_column("reservation", sa.Column("home_pool", sa.Text))
