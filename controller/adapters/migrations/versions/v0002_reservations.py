"""Reservations and spend beside the ledger, which learns of GPU seconds and of outcomes nobody was told."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Afterwards what was bought so far counts in the periods it was bought in."""
    op.add_column("ledger", sa.Column("gpu_s", sa.Float))
    op.add_column("ledger", sa.Column("outcome_unknown", sa.Boolean, nullable=False, server_default=sa.false()))
    spend = op.create_table(
        "spend",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("period", sa.Text, primary_key=True),
        sa.Column("spent_nanousd", sa.BigInteger, nullable=False),
        sa.Column("reserved_nanousd", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "reservation",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at_s", sa.Float, nullable=False),
        sa.Column("amount_nanousd", sa.BigInteger, nullable=False),
        sa.Column("estimate_nanousd", sa.BigInteger, nullable=False),
        sa.Column("at_s", sa.Float, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("requested_model", sa.Text, nullable=False),
        sa.Column("complexity", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("model_key", sa.Text, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("spilled", sa.Boolean, nullable=False),
        sa.Column("simulated", sa.Boolean, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
    )
    op.create_index("reservation_expires_at_s", "reservation", ["expires_at_s"])
    op.create_index("reservation_holder", "reservation", ["holder"])
    op.create_table(
        "holder",
        sa.Column("holder", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("process_started_s", sa.Float, nullable=False),
        sa.Column("seen_at_s", sa.Float, nullable=False),
    )
    _count_spend(spend)


def _count_spend(spend: sa.Table) -> None:
    ledger = sa.table(
        "ledger", sa.column("tenant"), sa.column("at_s"), sa.column("cost_nanousd"), sa.column("target_kind")
    )
    spent: Counter[tuple[str, str]] = Counter()
    rows = op.get_bind().execute(
        sa.select(ledger.c.tenant, ledger.c.at_s, ledger.c.cost_nanousd).where(ledger.c.target_kind == "external")
    )
    for tenant, at_s, cost_nanousd in rows:
        day = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")
        spent[tenant, day] += cost_nanousd
        spent[tenant, day[:7]] += cost_nanousd
    for (tenant, period), amount in sorted(spent.items()):
        op.get_bind().execute(
            spend.insert().values(tenant=tenant, period=period, spent_nanousd=amount, reserved_nanousd=0)
        )
