"""Providers' exports in each of their shapes are read to the token and the cent; anything else is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.adapters.usage_exports import UsageExportError, read_export
from controller.core.usage_check import UsageLine

DAY, START_S, END_S = "2026-11-20", 1_795_132_800, 1_795_219_200

OPENAI_USAGE = {
    "object": "organization.usage.completions.result", "input_tokens": 1_000, "output_tokens": 50,
    "input_cached_tokens": 800, "num_model_requests": 5, "model": "gpt-4o-mini-2024-07-18", "project_id": None,
}  # fmt: skip
OPENAI_EMBEDDINGS = {
    "object": "organization.usage.embeddings.result", "input_tokens": 16, "num_model_requests": 2,
    "model": "text-embedding-3-small",
}  # fmt: skip
OPENAI_COST = {
    "object": "organization.costs.result", "amount": {"value": 0.06, "currency": "usd"},
    "line_item": "gpt-4o-mini-2024-07-18, input", "project_id": None,
}  # fmt: skip
ANTHROPIC_USAGE = {
    "api_key_id": "apikey_1", "cache_creation": {"ephemeral_1h_input_tokens": 1_000, "ephemeral_5m_input_tokens": 500},
    "cache_read_input_tokens": 200, "model": "claude-sonnet-4-20250514", "output_tokens": 500,
    "uncached_input_tokens": 1_500,
}  # fmt: skip
ANTHROPIC_COST = {"amount": "123.45", "currency": "USD", "model": "claude-sonnet-4-20250514", "cost_type": "tokens"}

OPENAI_LINE = UsageLine(
    day=DAY, model="gpt-4o-mini-2024-07-18", requests=5, input_tokens=1_000, cached_input_tokens=800, output_tokens=50
)
ANTHROPIC_LINE = UsageLine(
    day=DAY, model="claude-sonnet-4-20250514", input_tokens=3_200, cached_input_tokens=200, output_tokens=500
)


def _openai(*results: object, has_more: bool = False) -> dict[str, object]:
    bucket = {"object": "bucket", "start_time": START_S, "end_time": END_S, "results": list(results)}
    return {"object": "page", "data": [bucket], "has_more": has_more, "next_page": None}


def _anthropic(*results: object) -> dict[str, object]:
    bucket = {"starting_at": f"{DAY}T00:00:00Z", "ending_at": "2026-11-21T00:00:00Z", "results": list(results)}
    return {"data": [bucket], "has_more": False, "next_page": None}


CSV_OPENAI = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
    "service_tier,input_tokens,output_tokens,input_cached_tokens\n"
    f"{START_S},{END_S},x,x,proj_1,5.0,,key_1,gpt-4o-mini-2024-07-18,,,1000,50,800\n"
    f"{START_S},{END_S},x,x,,,,,,,,,,\n"
)
CSV_OPENAI_COST = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item\n"
    f'{START_S},{END_S},x,x,0.003835980000000000000000000000,usd,,,"gpt-5-nano, input_tokens"\n'
    f"{START_S},{END_S},x,x,0.5,usd,,,\n"
)
CSV_ANTHROPIC = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count,inference_geo,speed\n"
    f"{DAY},claude-sonnet-4-20250514,key,Default,standard,≤ 200k,1500,500,1000,200,500,0,global,\n"
)
CSV_ANTHROPIC_COST = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type\n"
    f"{DAY},Claude Haiku 4.5,Default,key,message,≤ 200k,input_no_cache,0.05,0.05,token\n"
)


@pytest.mark.parametrize(
    ("text", "provider", "lines"),
    [
        pytest.param(json.dumps(_openai(OPENAI_USAGE)), "openai", [OPENAI_LINE], id="openai usage"),
        pytest.param(
            json.dumps(_openai(OPENAI_EMBEDDINGS)), "openai",
            [UsageLine(day=DAY, model="text-embedding-3-small", requests=2, input_tokens=16)], id="openai embeddings",
        ),
        pytest.param(
            json.dumps(_openai(OPENAI_COST, {**OPENAI_COST, "line_item": None})), "openai",
            [UsageLine(day=DAY, model="gpt-4o-mini-2024-07-18", cost_nanousd=60_000_000),
             UsageLine(day=DAY, model=None, cost_nanousd=60_000_000)], id="openai costs",
        ),
        pytest.param(
            json.dumps([_openai(OPENAI_USAGE, has_more=True), _openai(OPENAI_USAGE)]), "openai",
            [OPENAI_LINE, OPENAI_LINE], id="pages in a list",
        ),
        pytest.param(
            "\n".join(json.dumps(_openai(OPENAI_USAGE)) for _ in range(2)), "openai",
            [OPENAI_LINE, OPENAI_LINE], id="a page a line",
        ),
        pytest.param(json.dumps(_openai()), "openai", [], id="openai, nothing used"),
        pytest.param(json.dumps(_anthropic(ANTHROPIC_USAGE)), "anthropic", [ANTHROPIC_LINE], id="anthropic usage"),
        pytest.param(
            json.dumps(_anthropic(ANTHROPIC_COST)), "anthropic",
            [UsageLine(day=DAY, model="claude-sonnet-4-20250514", cost_nanousd=1_234_500_000)], id="anthropic costs",
        ),
        pytest.param(CSV_OPENAI, "openai", [OPENAI_LINE], id="openai csv"),
        pytest.param(CSV_OPENAI.replace(",", "\t"), "openai", [OPENAI_LINE], id="openai tsv"),
        pytest.param(
            CSV_OPENAI_COST, "openai",
            [UsageLine(day=DAY, model="gpt-5-nano", cost_nanousd=3_835_980),
             UsageLine(day=DAY, model=None, cost_nanousd=500_000_000)], id="openai cost csv",
        ),
        pytest.param(
            f"start_time,end_time,start_time_iso,end_time_iso\n{START_S},{END_S},x,x\n", "openai", [],
            id="openai csv without usage",
        ),
        pytest.param("\ufeff" + CSV_ANTHROPIC, "anthropic", [ANTHROPIC_LINE], id="anthropic csv with a mark"),
        pytest.param(
            CSV_ANTHROPIC_COST, "anthropic",
            [UsageLine(day=DAY, model="Claude Haiku 4.5", cost_nanousd=50_000_000, rounding_nanousd=5_000_000)],
            id="anthropic cost csv",
        ),
    ],
)  # fmt: skip
def test_shapes(tmp_path: Path, text: str, provider: str, lines: list[UsageLine]) -> None:
    """Tokens with cached ones among the input, money exact, and the span of the buckets."""
    file = tmp_path / "export"
    file.write_text(text, encoding="utf-8")
    export = read_export(file)
    assert export.provider == provider
    assert list(export.lines) == lines
    assert datetime.fromtimestamp(export.since_s, UTC).strftime("%Y-%m-%d") == DAY
    assert export.until_s == END_S


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(json.dumps(_openai(OPENAI_USAGE, has_more=True)), "has_more", id="pages missing"),
        pytest.param(json.dumps({"data": []}), "no time buckets", id="no buckets"),
        pytest.param(json.dumps({"error": {"message": "no"}}), "no `data`", id="an error answer"),
        pytest.param("[]", "no `data`", id="empty list"),
        pytest.param(json.dumps(_openai({"object": "organization.usage.images.result"})), "images", id="images"),
        pytest.param(
            json.dumps(_openai({**OPENAI_COST, "amount": {"value": 1, "currency": "eur"}})), "eur", id="euros"
        ),
        pytest.param(json.dumps(_anthropic({"model": "x"})), "KeyError", id="fields missing"),
        pytest.param('{"data": [', "whole", id="cut"),
        pytest.param("date,tokens\n1,2\n", "no known export", id="another csv"),
        pytest.param(CSV_ANTHROPIC.splitlines()[0], "no rows", id="head alone"),
        pytest.param(CSV_OPENAI.replace("1000", "many"), "whole", id="words for numbers"),
        pytest.param("", "no known export", id="empty"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """With the file's name and the reason: a check that could not be made is never a good one."""
    file = tmp_path / "export.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageExportError, match=words) as refused:
        read_export(file)
    assert "export.json" in str(refused.value)


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    """One that is not there, and one that is no text."""
    (tmp_path / "zip").write_bytes(b"PK\x03\x04\xff")
    for name in ("none", "zip"):
        with pytest.raises(UsageExportError, match="cannot be read"):
            read_export(tmp_path / name)
