"""Ledger entries and samples are plain values."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from controller.core.ledger import AttemptRecord, LedgerEntry
from controller.core.requests import TargetKind
from controller.core.samples import PoolSample


def test_no_record_has_room_for_text() -> None:
    """Prompts and answers have no field to end up in."""
    names = {field.name for value in (LedgerEntry, AttemptRecord, PoolSample) for field in fields(value)}
    assert not names & {"prompt", "messages", "content", "text", "body", "answer"}


def test_a_record_has_its_fields_and_no_others() -> None:
    """Slots and keyword-only, equal by value; that nobody assigns to one is mypy's business (`core/records.py`)."""
    record = AttemptRecord(
        target="llama-8b",
        kind=TargetKind.OWN,
        model_key="llama-8b-self",
        replica_id="r1",
        outcome="answered",
        status=200,
        started_after_s=0.0,
        took_s=0.1,
    )
    assert record == replace(record)
    assert record != replace(record, outcome="broken")
    with pytest.raises(AttributeError):
        record.text = "Hello"  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        AttemptRecord("llama-8b")  # type: ignore[call-arg]


def test_an_unmeasured_ttft_is_unknown() -> None:
    """None, not zero."""
    sample = PoolSample(
        at_s=0.0,
        replicas_ready=1,
        replicas_warming=0,
        replicas_draining=0,
        running=0,
        waiting=0,
        kv_cache_usage_ratio=0.0,
        saturation_ratio=0.0,
        arrivals_per_s=0.0,
        spilled_per_s=0.0,
        demand_replicas=0.0,
    )
    assert sample.ttft_p95_s is None
