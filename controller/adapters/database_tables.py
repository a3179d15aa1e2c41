"""The tables of the database as the code of today knows them; `migrations/` brings a database of any age here."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
)
from sqlalchemy.schema import SchemaItem

metadata = MetaData()


def _asked() -> list[SchemaItem]:
    """Who asked what, and when: of a reservation as of the row that settles it."""
    return [
        Column("at_s", Float, nullable=False),
        Column("tenant", Text, nullable=False),
        Column("key_id", Text, nullable=False),
        Column("operation", Text, nullable=False),
        Column("requested_model", Text, nullable=False),
    ]


api_key = Table(
    "api_key",
    metadata,
    Column("public_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, CheckConstraint("length(digest) = 32"), nullable=False),
    Column("created_at_s", Float, nullable=False),
    Column("revoked_at_s", Float),
    Column("pepper_id", Integer, nullable=False, server_default=text("1")),
    Column("revision", Integer, nullable=False),  # grows with every change: a snapshot reads only what is new
)
Index("api_key_revision", api_key.c.revision)

ledger = Table(
    "ledger",
    metadata,
    Column("request_id", Text, primary_key=True),
    *_asked(),
    Column("task", Text),
    Column("complexity", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("target_kind", Text),
    Column("target", Text),
    Column("model_key", Text),
    Column("model_id", Text),
    Column("replica_id", Text),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("usage_estimated", Boolean, nullable=False),
    Column("cost_nanousd", BigInteger, nullable=False),
    Column("spilled", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("chain", Text, nullable=False),  # JSON list
    Column("attempts", Text, nullable=False),  # JSON list of objects
    Column("predicted_ttft_s", Float),
    Column("ttft_s", Float),
    Column("e2e_s", Float, nullable=False),
    Column("error", Text),
    Column("simulated", Boolean, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("gpu_s", Float),
    Column("outcome_unknown", Boolean, nullable=False, server_default=false()),
    Column("home_pool", Text),
)
Index("ledger_at_s", ledger.c.at_s)

# What each tenant has bought and set aside per UTC day ("2026-11-25") and month ("2026-11"), and per UTC hour
# ("2026-11-25T14") for what a pool spills: there `tenant` is the pool's name.
spend = Table(
    "spend",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("spent_nanousd", BigInteger, nullable=False),
    Column("reserved_nanousd", BigInteger, nullable=False),
)

reservation = Table(  # money set aside for purchases whose outcome is not known yet
    "reservation",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires_at_s", Float, nullable=False),
    Column("amount_nanousd", BigInteger, nullable=False),
    Column("estimate_nanousd", BigInteger, nullable=False),  # billed when the outcome stays unknown
    *_asked(),
    Column("complexity", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("model_key", Text, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),  # expected
    Column("output_tokens", BigInteger, nullable=False),  # expected
    Column("spilled", Boolean, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("home_pool", Text),
)
Index("reservation_expires_at_s", reservation.c.expires_at_s)
Index("reservation_holder", reservation.c.holder)

rate_minute = Table(  # what of each tenant's minute has been granted to gateways; never more than its limit
    "rate_minute",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("minute", BigInteger, primary_key=True),  # unix time by 60
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
)

holder = Table(  # the processes that hold reservations; one that is not seen any more is dead
    "holder",
    metadata,
    Column("holder", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started_s", Float, nullable=False),
    Column("seen_at_s", Float, nullable=False),
)

idempotency_key = Table(  # keyed digests: who answers the request under a key, and until when nobody else does
    "idempotency_key",
    metadata,
    Column("key", LargeBinary, primary_key=True),  # of tenant and key
    Column("digest", LargeBinary, nullable=False),  # of the request
    Column("holder", Text, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("finished", Boolean, nullable=False),
    Column("expires_at_s", Float, nullable=False),
)
Index("idempotency_key_expires_at_s", idempotency_key.c.expires_at_s)
