"""Caps on fields that cost an engine far more than their bytes: `decode` asks before anything is sent on.

An engine that is one process for all its callers is brought down by one request: a regular expression that unrolls to
millions of states, a bias for every token, a billion candidates of which one is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from controller.config.settings import Caps
from controller.gateway.json_body import Document
from controller.gateway.wishes import whole_number, wrong

MAX_LOGPROBS = 20  # OpenAI's limit, and vLLM's unless its operator says otherwise
MAX_TOKENS_LIMIT = 10_000_000
MAX_ENTRIES = 1024
MAX_TOKEN_IDS = 65_536
MAX_STOPS = 128
MAX_REGEX_CHARS = 4096
MAX_REGEX_REPEATS = 10_000  # what nested counts multiply to
MAX_GRAMMAR_CHARS = 65_536
_COUNTS = re.compile(r"\{(\d*)(?:,(\d*))?\}")
Check = Callable[[str, object, Caps], None]


def check(document: Document, caps: Caps) -> None:
    """RequestError when a field asks for more than engines can bear."""
    for name in document.keys() & _CHECKS.keys():
        value = document[name]
        if value is not None:
            _CHECKS[name](name, value, caps)


def _between(low: int, high: int) -> Check:
    def ask(name: str, value: object, _caps: Caps) -> None:
        if not isinstance(value, bool):  # `logprobs` of a chat
            whole_number(name, value, low, high)

    return ask


def _best_of(name: str, value: object, caps: Caps) -> None:
    whole_number(name, value, 1, caps.choices)


def _at_most(entries: int) -> Check:
    def ask(name: str, value: object, _caps: Caps) -> None:
        if isinstance(value, list | dict) and len(value) > entries:
            raise wrong(name, f"`{name}` must have at most {entries} entries")

    return ask


def _regex(name: str, value: object, _caps: Caps) -> None:
    if not isinstance(value, str):
        return  # the engine has its own word about types
    if len(value) > MAX_REGEX_CHARS:
        raise wrong(name, f"`{name}` must have at most {MAX_REGEX_CHARS} characters")
    repeats = 1
    for low, high in _COUNTS.findall(value):
        longest = max(len(low), len(high))
        repeats *= 1 if longest == 0 else 10**9 if longest > 6 else max(1, int(low or 0), int(high or 0))
        if repeats > MAX_REGEX_REPEATS:
            raise wrong(name, f"`{name}` must not repeat anything more than {MAX_REGEX_REPEATS} times in all")


def _grammar(name: str, value: object, _caps: Caps) -> None:
    if isinstance(value, str) and len(value) > MAX_GRAMMAR_CHARS:
        raise wrong(name, f"`{name}` must have at most {MAX_GRAMMAR_CHARS} characters")


_STRUCTURES: Mapping[str, Check] = {"regex": _regex, "grammar": _grammar, "choice": _at_most(MAX_ENTRIES)}


def _structured(name: str, value: object, caps: Caps) -> None:
    if isinstance(value, dict):
        for part, ask in _STRUCTURES.items():
            ask(f"{name}.{part}", value.get(part), caps)


_CHECKS: Mapping[str, Check] = {
    "best_of": _best_of,
    "logprobs": _between(0, MAX_LOGPROBS),
    "top_logprobs": _between(0, MAX_LOGPROBS),
    "min_tokens": _between(0, MAX_TOKENS_LIMIT),
    "truncate_prompt_tokens": _between(-1, MAX_TOKENS_LIMIT),
    "logit_bias": _at_most(MAX_ENTRIES),
    "bad_words": _at_most(MAX_ENTRIES),
    "stop": _at_most(MAX_STOPS),
    "stop_token_ids": _at_most(MAX_ENTRIES),
    "allowed_token_ids": _at_most(MAX_TOKEN_IDS),
    "guided_choice": _at_most(MAX_ENTRIES),
    "guided_regex": _regex,
    "guided_grammar": _grammar,
    "structured_outputs": _structured,
}
