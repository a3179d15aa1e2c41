"""Keys and ledger, as the first version had them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Afterwards keys and ledger are there."""
    op.create_table(
        "api_key",
        sa.Column("public_id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, sa.CheckConstraint("length(digest) = 32"), nullable=False),
        sa.Column("created_at_s", sa.Float, nullable=False),
        sa.Column("revoked_at_s", sa.Float),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_index("api_key_revision", "api_key", ["revision"])
    op.create_table(
        "ledger",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("at_s", sa.Float, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("requested_model", sa.Text, nullable=False),
        sa.Column("task", sa.Text),
        sa.Column("complexity", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("target_kind", sa.Text),
        sa.Column("target", sa.Text),
        sa.Column("model_key", sa.Text),
        sa.Column("model_id", sa.Text),
        sa.Column("replica_id", sa.Text),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("usage_estimated", sa.Boolean, nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger, nullable=False),
        sa.Column("spilled", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("attempts", sa.Text, nullable=False),
        sa.Column("predicted_ttft_s", sa.Float),
        sa.Column("ttft_s", sa.Float),
        sa.Column("e2e_s", sa.Float, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("simulated", sa.Boolean, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
    )
    op.create_index("ledger_at_s", "ledger", ["at_s"])
