"""What becomes of each field of a chat request at each kind of target: the table in dialects/README.md as data.

Fields that change what an answer is worth are refused where they cannot be carried, so that another target is tried;
wishes and hints are dropped, and the caller is told which. What is not on the table goes nowhere, and is told too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from controller.core.models import Feature
from controller.gateway.decode import NotTranslatable
from controller.gateway.json_body import Document


class Kind(StrEnum):
    """Who is asked, as far as fields go."""

    OWN = "own"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Fate(StrEnum):
    """What becomes of a field."""

    CARRIED = "carried"
    DROPPED = "dropped"
    REFUSED = "refused"


_C, _D, _R = Fate.CARRIED, Fate.DROPPED, Fate.REFUSED
_EVERYWHERE = (_C, _C, _C)
_NOT_ANTHROPIC = (_C, _C, _R)
_ENGINE_WISH = (_C, _D, _D)
_ENGINE_ONLY = (_C, _R, _R)
_OPENAI_HINT = (_D, _C, _D)
_OPENAI_ONLY = (_R, _C, _R)

# field: at own engines, at OpenAI-shaped providers, at Anthropic
TABLE: Mapping[str, tuple[Fate, Fate, Fate]] = {
    "model": _EVERYWHERE,
    "messages": _EVERYWHERE,
    "metadata": _EVERYWHERE,  # read by the gateway itself
    "stream": _EVERYWHERE,
    "stream_options": _EVERYWHERE,
    "max_tokens": _EVERYWHERE,
    "max_completion_tokens": _EVERYWHERE,
    "temperature": _EVERYWHERE,
    "top_p": _EVERYWHERE,
    "stop": _EVERYWHERE,
    "response_format": _EVERYWHERE,
    "tools": _EVERYWHERE,
    "tool_choice": _EVERYWHERE,
    "parallel_tool_calls": _EVERYWHERE,
    "reasoning_effort": _EVERYWHERE,
    "user": _EVERYWHERE,
    "n": _NOT_ANTHROPIC,
    "logprobs": _NOT_ANTHROPIC,
    "top_logprobs": _NOT_ANTHROPIC,
    "logit_bias": _NOT_ANTHROPIC,
    "seed": (_C, _C, _D),
    "presence_penalty": (_C, _C, _D),
    "frequency_penalty": (_C, _C, _D),
    "safety_identifier": (_D, _C, _C),
    "service_tier": _OPENAI_HINT,
    "prompt_cache_key": _OPENAI_HINT,
    "verbosity": _OPENAI_HINT,
    "prediction": _OPENAI_HINT,
    "modalities": _OPENAI_ONLY,
    "functions": _OPENAI_ONLY,
    "function_call": _OPENAI_ONLY,
    "audio": (_R, _R, _R),
    "web_search_options": (_R, _R, _R),
    "store": (_D, _D, _D),
    "top_k": (_C, _D, _C),
    "min_p": _ENGINE_WISH,
    "repetition_penalty": _ENGINE_WISH,
    "length_penalty": _ENGINE_WISH,
    "min_tokens": _ENGINE_WISH,
    "ignore_eos": _ENGINE_WISH,
    "include_stop_str_in_output": _ENGINE_WISH,
    "skip_special_tokens": _ENGINE_WISH,
    "spaces_between_special_tokens": _ENGINE_WISH,
    "include_reasoning": _ENGINE_WISH,
    "add_generation_prompt": _ENGINE_WISH,
    "continue_final_message": _ENGINE_ONLY,
    "stop_token_ids": _ENGINE_ONLY,
    "bad_words": _ENGINE_ONLY,
    "allowed_token_ids": _ENGINE_ONLY,
    "truncate_prompt_tokens": _ENGINE_ONLY,
    "structured_outputs": _ENGINE_ONLY,
    "guided_json": _ENGINE_ONLY,
    "guided_regex": _ENGINE_ONLY,
    "guided_choice": _ENGINE_ONLY,
    "guided_grammar": _ENGINE_ONLY,
    "return_token_ids": _ENGINE_ONLY,
    "use_beam_search": _ENGINE_ONLY,
    "prompt": _NOT_ANTHROPIC,
    "echo": _NOT_ANTHROPIC,
    "best_of": _NOT_ANTHROPIC,
    "suffix": _NOT_ANTHROPIC,
    "input": _NOT_ANTHROPIC,
    "dimensions": _NOT_ANTHROPIC,
    "encoding_format": _NOT_ANTHROPIC,
}
# With these a field says nothing that would be missed. So do null, and with other fields all that is empty or zero.
_DEFAULTS: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "seed": (),
    "modalities": (["text"], []),
    "service_tier": ("auto",),
    "verbosity": ("medium",),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "top_k": (-1, 0),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "include_reasoning": (True,),
    "add_generation_prompt": (True,),
}
_WORDS = {"n": "n > 1", "continue_final_message": "an answer begun by the caller"}
_FEATURES = {
    Feature.LOGPROBS: ("logprobs", "top_logprobs"),
    Feature.LOGIT_BIAS: ("logit_bias",),
    Feature.SEVERAL_CHOICES: ("n",),
}


def _of(kind: Kind, fate: Fate) -> frozenset[str]:
    place = list(Kind).index(kind)
    return frozenset(name for name, fates in TABLE.items() if fates[place] is fate)


CARRIED = {kind: _of(kind, Fate.CARRIED) for kind in Kind}
SENT = {kind: CARRIED[kind] - {"metadata"} for kind in Kind}
_REFUSED = {kind: _of(kind, Fate.REFUSED) for kind in Kind}


def says_something(name: str, value: object) -> bool:
    """Whether leaving the field out would change what is asked for."""
    defaults = _DEFAULTS.get(name)
    return bool(value) if defaults is None else value is not None and value not in defaults


def check(document: Document, kind: Kind, refuses: frozenset[Feature] = frozenset()) -> None:
    """NotTranslatable when a field may not be left out and this target cannot carry it."""
    if not document.keys() <= CARRIED[kind]:
        for name in document.keys() & _REFUSED[kind]:
            if says_something(name, document[name]):
                raise NotTranslatable(_WORDS.get(name, f"`{name}`"))
    if refuses:
        _check_features(document, refuses)


def _check_features(document: Document, refuses: frozenset[Feature]) -> None:
    for feature in refuses:
        for name in _FEATURES.get(feature, ()):
            if says_something(name, document.get(name)):
                raise NotTranslatable(_WORDS.get(name, f"`{name}`"))
    if Feature.FORCED_TOOLS in refuses and document.get("tool_choice") not in (None, "auto", "none"):
        raise NotTranslatable("a tool that must be called")


def dropped(document: Document, kind: Kind) -> list[str]:
    """Fields that this target does not get."""
    carried = CARRIED[kind]
    if document.keys() <= carried:
        return []
    return [name for name in document if name not in carried and says_something(name, document[name])]
