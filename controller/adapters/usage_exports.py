"""Providers' own accounts as files: what their admin APIs answer (JSON) and what their consoles export (CSV).

Shapes, read 2026-11: OpenAI `/organization/usage/*` and `/organization/costs` (openai SDK 3.52, `types/admin`), the
dashboard's `completions_usage_*.csv` and cost CSV; Anthropic `/organizations/usage_report/messages` and `/cost_report`
(amounts in cents), the Console's usage and cost CSV.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from controller.core.errors import SpillwayError
from controller.core.money import NANOUSD_PER_USD, nanousd
from controller.core.usage_check import UsageLine

_ANTHROPIC_WRITES = ("usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h")
Fields = Mapping[str, object]


class UsageExportError(SpillwayError):
    """The file is not an account that can be compared, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageExport:
    """What a provider says it served and billed from `since_s` until `until_s` (unix seconds)."""

    provider: str
    lines: tuple[UsageLine, ...]
    since_s: float
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bucket:
    start: datetime
    end: datetime
    rows: tuple[Fields, ...]


def read_export(path: Path) -> UsageExport:
    """The account in the file, whichever of the known shapes it has."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageExportError(f"{path} cannot be read: {error}") from error
    try:
        return _from_json(text) if text.lstrip()[:1] in {"{", "["} else _from_csv(text)
    except UsageExportError as error:
        raise UsageExportError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise UsageExportError(f"{path} is not a whole usage export: {type(error).__name__}: {error}") from error


def _from_json(text: str) -> UsageExport:
    pages = _pages(text)
    if pages[-1].get("has_more"):
        raise UsageExportError("its last page says has_more: the rest is missing")
    buckets = [bucket for page in pages for bucket in page["data"]]
    if not buckets:
        raise UsageExportError("it has no time buckets")
    is_anthropic = "starting_at" in buckets[0]
    begin, end = ("starting_at", "ending_at") if is_anthropic else ("start_time", "end_time")
    read = _anthropic_json if is_anthropic else _openai_json
    spans = [_Bucket(start=_instant(one[begin]), end=_instant(one[end]), rows=tuple(one["results"])) for one in buckets]
    return _export("anthropic" if is_anthropic else "openai", spans, read)


def _pages(text: str) -> list[dict[str, Any]]:  # JSON: each value is checked where it is read
    """One page, a list of pages, or one page a line."""
    try:
        document = json.loads(text, parse_float=Decimal)
    except ValueError:
        document = [json.loads(line, parse_float=Decimal) for line in text.splitlines() if line.strip()]
    pages = document if isinstance(document, list) else [document]
    if not pages or not all(isinstance(page, dict) and isinstance(page.get("data"), list) for page in pages):
        raise UsageExportError("it has no `data` of time buckets, as the admin APIs of OpenAI and Anthropic answer")
    return pages


def _openai_json(day: str, row: Fields) -> UsageLine:
    kind = row.get("object")
    if kind == "organization.costs.result":
        amount = row.get("amount")
        value = amount.get("value") if isinstance(amount, dict) else None
        currency = amount.get("currency") if isinstance(amount, dict) else None
        return _cost(day, _openai_item(row.get("line_item")), _decimal(value), currency)
    if kind not in {"organization.usage.completions.result", "organization.usage.embeddings.result"}:
        raise UsageExportError(f"results of kind {kind} are not tokens or costs")
    return _openai_usage(day, row)


def _openai_usage(day: str, row: Fields) -> UsageLine:
    return UsageLine(
        day=day,
        model=_text(row.get("model")),
        requests=_whole(row.get("num_model_requests")),
        input_tokens=_whole(row.get("input_tokens")),
        cached_input_tokens=_known(row.get("input_cached_tokens")),
        output_tokens=_known(row.get("output_tokens")),
    )


def _openai_item(item: object) -> str | None:
    """`gpt-5-nano, input_tokens` is about gpt-5-nano."""
    text = _text(item)
    return None if text is None else text.partition(",")[0].strip()


def _anthropic_json(day: str, row: Fields) -> UsageLine:
    if "amount" in row:
        return _cost(day, _text(row.get("model")), _decimal(row["amount"]) / 100, row.get("currency"))
    written = row.get("cache_creation")
    writes = sum(_whole(value) for value in written.values()) if isinstance(written, dict) else 0
    read = _whole(row.get("cache_read_input_tokens"))
    return UsageLine(
        day=day,
        model=_text(row.get("model")),
        input_tokens=_whole(row["uncached_input_tokens"]) + writes + read,
        cached_input_tokens=read,
        output_tokens=_whole(row["output_tokens"]),
    )


def _from_csv(text: str) -> UsageExport:
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if "\t" in head else ",")
    names = set(reader.fieldnames or ())
    if "start_time" in names and "end_time" in names:
        read = _openai_csv_cost if "amount_value" in names else _openai_csv_usage
        return _export("openai", [_openai_bucket(row) for row in reader], read)
    if "usage_date_utc" in names and names & {"cost_usd", "usage_output_tokens"}:
        read = _anthropic_csv_cost if "cost_usd" in names else _anthropic_csv_usage
        return _export("anthropic", [_anthropic_bucket(row) for row in reader], read)
    raise UsageExportError(
        "its columns are those of no known export: OpenAI's have start_time, Anthropic's usage_date_utc"
    )


def _openai_bucket(row: Fields) -> _Bucket:
    is_empty = not any(row.get(name) for name in ("num_model_requests", "amount_value", "input_tokens"))
    return _Bucket(start=_instant(row["start_time"]), end=_instant(row["end_time"]), rows=() if is_empty else (row,))


def _openai_csv_usage(day: str, row: Fields) -> UsageLine:
    return _openai_usage(day, row)


def _openai_csv_cost(day: str, row: Fields) -> UsageLine:
    return _cost(day, _openai_item(row.get("line_item")), _decimal(row["amount_value"]), row.get("amount_currency"))


def _anthropic_bucket(row: Fields) -> _Bucket:
    start = datetime.fromisoformat(str(row["usage_date_utc"])[:10]).replace(tzinfo=UTC)
    return _Bucket(start=start, end=start + timedelta(days=1), rows=(row,))


def _anthropic_csv_usage(day: str, row: Fields) -> UsageLine:
    read = _whole(row.get("usage_input_tokens_cache_read"))
    writes = sum(_whole(row.get(name)) for name in _ANTHROPIC_WRITES)
    return UsageLine(
        day=day,
        model=_text(row.get("model_version")),
        input_tokens=_whole(row["usage_input_tokens_no_cache"]) + writes + read,
        cached_input_tokens=read,
        output_tokens=_whole(row["usage_output_tokens"]),
    )


def _anthropic_csv_cost(day: str, row: Fields) -> UsageLine:
    half_a_cent = NANOUSD_PER_USD // 200  # what each row may have been rounded by
    return _cost(day, _text(row.get("model")), _decimal(row["cost_usd"]), "usd", rounding_nanousd=half_a_cent)


def _export(provider: str, buckets: Iterable[_Bucket], read: Callable[[str, Fields], UsageLine]) -> UsageExport:
    held = list(buckets)
    if not held:
        raise UsageExportError("it has no rows")
    return UsageExport(
        provider=provider,
        lines=tuple(_lines(held, read)),
        since_s=min(bucket.start for bucket in held).timestamp(),
        until_s=max(bucket.end for bucket in held).timestamp(),
    )


def _lines(buckets: Iterable[_Bucket], read: Callable[[str, Fields], UsageLine]) -> Iterator[UsageLine]:
    for bucket in buckets:
        day = bucket.start.astimezone(UTC).strftime("%Y-%m-%d")
        for row in bucket.rows:
            yield read(day, row)


def _cost(
    day: str, model: str | None, amount_usd: Decimal, currency: object, *, rounding_nanousd: int = 0
) -> UsageLine:
    if str(currency or "usd").lower() != "usd":
        raise UsageExportError(f"its amounts are in {currency}, the ledger's in USD")
    return UsageLine(day=day, model=model, cost_nanousd=nanousd(amount_usd), rounding_nanousd=rounding_nanousd)


def _instant(value: object) -> datetime:
    text = str(value)
    if text.isdigit():
        return datetime.fromtimestamp(int(text), UTC)
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _decimal(value: object) -> Decimal:
    return Decimal(0) if value is None or value == "" else Decimal(str(value))


def _whole(value: object) -> int:
    return int(_decimal(value))


def _known(value: object) -> int | None:
    return None if value is None or value == "" else _whole(value)


def _text(value: object) -> str | None:
    return str(value).strip() or None if value is not None else None
