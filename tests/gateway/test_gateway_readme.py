"""The door sign of the gateway tells the truth: every header, code, reason, limit and file, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields

import pytest

from controller.config.settings import Caps, GatewaySettings, Timeouts
from controller.gateway import idempotent_answers
from tests.gateway import spoken_words

README = (spoken_words.CONTROLLER / "gateway" / "README.md").read_text()


def section(title: str) -> str:
    """The text under a heading."""
    return README.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(text: str) -> list[str]:
    """The names in the first column of all tables in a text."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_header_is_documented() -> None:
    """Every header name in the gateway's source stands in one of the tables, and the tables have no others."""
    titles = ("Request headers", "Response headers", "Headers towards upstreams")
    response, reasons = section("Response headers").split("| why it left its pool", 1)
    tables = first_cells(section(titles[0])) + first_cells(response) + first_cells(section(titles[2]))
    read = re.findall(r"`([a-z-]+)`", section(titles[2]).split("Read from their answers:")[1])
    assert set(tables) | set(read) == spoken_words.headers()
    assert sorted(first_cells("|" + reasons)) == sorted(spoken_words.spill_reasons())


def test_response_headers_stand_once() -> None:
    """One table of them, without repetition."""
    names = first_cells(section("Response headers").split("| why it left its pool", 1)[0])
    assert len(names) == len(set(names))
    assert {"x-request-id", "retry-after", "x-should-retry", "x-spillway-cost-usd"} <= set(names)


def test_every_error_code_is_documented() -> None:
    """Every code that a refusal of the gateway or of routing may have stands in the table once, and no other."""
    assert sorted(first_cells(section("Error codes"))) == sorted(spoken_words.codes())


def test_every_file_is_on_the_door_sign() -> None:
    """The file table is the folder."""
    files = {file.name for file in spoken_words.GATEWAY} - {"__init__.py"}
    assert set(first_cells(README.split("## ", 1)[0])) == files
    sign = (spoken_words.CONTROLLER / "gateway" / "dialects" / "README.md").read_text()
    assert set(first_cells(sign.split("## ", 1)[0])) == {file.name for file in spoken_words.DIALECTS} - {"__init__.py"}


class Told:
    """The caps, and which of them the table below tells."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> int:
        self.names.add(name)
        return int(getattr(Caps(), name))


CAPS, TIMEOUTS = Told(), Timeouts()
LIMITS = {
    "body": f"{CAPS.body_bytes // 2**20} MiB",
    "nesting of its JSON": f"{CAPS.json_depth} levels",
    "its JSON values": f"{CAPS.json_weight} numbers, or a tenth as many objects and lists",
    "messages; `n`; `max_tokens`": f"{CAPS.messages}; {CAPS.choices}; {CAPS.tokens}",
    "tools; the name of a model or a tool": f"{CAPS.tools}; {CAPS.name_chars} characters",
    "`best_of`; `logprobs`, `top_logprobs`": f"as `n`; {CAPS.logprobs}",
    "entries of `logit_bias`, `bad_words`, `stop_token_ids`, choices; of `stop`; of `allowed_token_ids`": (
        f"{CAPS.entries}; {CAPS.stops}; {CAPS.token_ids}"
    ),
    "a regular expression; what its counts in braces multiply to; a grammar": (
        f"{CAPS.regex_chars} characters; {CAPS.regex_repeats}; {CAPS.grammar_chars} characters"
    ),
    "requests in flight": f"{CAPS.in_flight}",
    "requests that wait before one pool": f"{CAPS.waiting}",
    "head of a request": f"{CAPS.header_bytes // 1024} KiB, {CAPS.header_count} headers, {TIMEOUTS.header_s:g} s",
    "requests of a connection that wait for an earlier answer": f"{CAPS.pipelined}",
    "body of a request": f"{TIMEOUTS.body_s:g} s to arrive, and a second more for each KiB",
    "body of a refused request, read so that the answer is heard": f"{CAPS.discard_bytes // 2**20} MiB",
    "connection to an upstream": f"{TIMEOUTS.connect_s:g} s",
    "first token of a stream": f"{TIMEOUTS.ttft_s:g} s",
    "the same of a provider, while another target is left": f"{TIMEOUTS.provider_ttft_s:g} s",
    "gap within a stream, either side": f"{TIMEOUTS.idle_s:g} s",
    "whole request": f"{TIMEOUTS.total_s:g} s",
    "new requests after SIGTERM, while `/readyz` says 503 already": (
        f"{GatewaySettings().drain_lead_s:g} s (behind a load balancer 5)"
    ),
    "drain on SIGTERM, after that": f"{GatewaySettings().drain_s:g} s",
    "whole answer of an upstream; head of an engine's": (
        f"{CAPS.answer_bytes // 2**20} MiB; {CAPS.answer_header_bytes // 1024} KiB"
    ),
    "`Idempotency-Key`": f"1 to {CAPS.idempotency_key_bytes} characters",
    "answers kept for it": (
        f"{idempotent_answers.KEPT_S:g} s, {idempotent_answers.KEPT_ANSWERS} answers, "
        f"{idempotent_answers.KEPT_BYTES // 2**20} MiB, {idempotent_answers.ANSWER_BYTES // 2**20} MiB each"
    ),
    "one event of a stream": f"{CAPS.event_bytes // 2**20} MiB",
}
TOLD = frozenset(CAPS.names)


def test_every_cap_is_in_the_table() -> None:
    """What is sent beyond them is refused, so callers have to know all of them."""
    assert {field.name for field in fields(Caps)} == TOLD


@pytest.mark.parametrize(("what", "limit"), LIMITS.items(), ids=LIMITS.keys())
def test_limits(what: str, limit: str) -> None:
    """As the code has them."""
    assert f"| {what} | {limit} |" in section("Limits")


@pytest.mark.parametrize("find", [spoken_words.headers, spoken_words.codes], ids=["headers", "codes"])
def test_the_search_finds_something(find: Callable[[], set[str]]) -> None:
    """A search that finds nothing would make every table true."""
    assert len(find()) > 20
