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

_COUNTS = re.compile(r"\{(\d*)(?:,(\d*))?\}")
Check = Callable[[str, object, Caps], None]
Most = Callable[[Caps], int]


def check(document: Document, caps: Caps) -> None:
    """RequestError when a field asks for more than engines can bear."""
    for name in document.keys() & _CHECKS.keys():
        value = document[name]
        if value is not None:
            _CHECKS[name](name, value, caps)


def _between(low: int, high: Most) -> Check:
    def ask(name: str, value: object, caps: Caps) -> None:
        if not isinstance(value, bool):  # `logprobs` of a chat
            whole_number(name, value, low, high(caps))

    return ask


def _best_of(name: str, value: object, caps: Caps) -> None:
    whole_number(name, value, 1, caps.choices)


def _at_most(entries: Most) -> Check:
    def ask(name: str, value: object, caps: Caps) -> None:
        if isinstance(value, list | dict) and len(value) > entries(caps):
            raise wrong(name, f"`{name}` must have at most {entries(caps)} entries")

    return ask


def _regex(name: str, value: object, caps: Caps) -> None:
    if not isinstance(value, str):
        return  # the engine has its own word about types
    if len(value) > caps.regex_chars:
        raise wrong(name, f"`{name}` must have at most {caps.regex_chars} characters")
    repeats = 1
    for low, high in _COUNTS.findall(value):
        longest = max(len(low), len(high))
        repeats *= 1 if longest == 0 else 10**9 if longest > 6 else max(1, int(low or 0), int(high or 0))
        if repeats > caps.regex_repeats:
            raise wrong(name, f"`{name}` must not repeat anything more than {caps.regex_repeats} times in all")


def _grammar(name: str, value: object, caps: Caps) -> None:
    if isinstance(value, str) and len(value) > caps.grammar_chars:
        raise wrong(name, f"`{name}` must have at most {caps.grammar_chars} characters")


_entries = _at_most(lambda caps: caps.entries)
_logprobs = _between(0, lambda caps: caps.logprobs)
_STRUCTURES: Mapping[str, Check] = {"regex": _regex, "grammar": _grammar, "choice": _entries}


def _structured(name: str, value: object, caps: Caps) -> None:
    if isinstance(value, dict):
        for part, ask in _STRUCTURES.items():
            ask(f"{name}.{part}", value.get(part), caps)


_CHECKS: Mapping[str, Check] = {
    "best_of": _best_of,
    "logprobs": _logprobs,
    "top_logprobs": _logprobs,
    "min_tokens": _between(0, lambda caps: caps.tokens),
    "truncate_prompt_tokens": _between(-1, lambda caps: caps.tokens),
    "logit_bias": _entries,
    "bad_words": _entries,
    "stop": _at_most(lambda caps: caps.stops),
    "stop_token_ids": _entries,
    "allowed_token_ids": _at_most(lambda caps: caps.token_ids),
    "guided_choice": _entries,
    "guided_regex": _regex,
    "guided_grammar": _grammar,
    "structured_outputs": _structured,
}
