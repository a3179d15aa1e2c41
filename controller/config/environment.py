"""What the environment variables say: phase, and endpoints of pools that somebody else runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from controller.catalogue.refusals import ENVIRONMENT, did_you_mean, problem_at
from controller.config.addresses import ENDPOINT, TLS_ELSEWHERE
from controller.config.build import bare_endpoint
from controller.core.errors import Problem
from controller.core.requests import Phase

ENDPOINT_VARIABLES: Mapping[str, str] = {  # variable -> catalogue key of the pool it makes fixed
    "LLAMA_8B_ENDPOINT": "llama-8b-self",
    "MIXTRAL_ENDPOINT": "mixtral-8x7b-self",
    "LLAMA_70B_ENDPOINT": "llama-70b-self",
}
_PHASES = tuple(phase.value for phase in Phase)


def endpoints_of(environ: Mapping[str, str], variable: str) -> tuple[str, ...]:
    """The endpoints of one variable without their `/v1`, each once; commas separate them."""
    words = (word.strip() for word in environ.get(variable, "").split(","))
    return tuple(dict.fromkeys(bare_endpoint(word) for word in words if word))


def phase_of(environ: Mapping[str, str], otherwise: Phase) -> Phase:
    """AI_PHASE, else the file's; a wrong one is refused by `environment_problems`."""
    word = environ.get("AI_PHASE", "")
    return Phase(word) if word in _PHASES else otherwise


def environment_problems(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Values that mean nothing."""
    word = environ.get("AI_PHASE", "")
    if word and word not in _PHASES:
        message = "unknown phase" + did_you_mean(word, _PHASES)
        yield problem_at(ENVIRONMENT, ("AI_PHASE",), message, f"one of {', '.join(_PHASES)}", word)
    for variable in ENDPOINT_VARIABLES:
        for endpoint in endpoints_of(environ, variable):
            if not re.fullmatch(ENDPOINT, endpoint):
                allowed = f"http://host:port/v1, several with commas between; {TLS_ELSEWHERE}"
                yield problem_at(ENVIRONMENT, (variable,), "is no endpoint", allowed, endpoint)
