"""Starts vLLM as an engine of Spillway: entry point of the engine image. Takes vLLM's own arguments.

What pods and compose files leave out is added (`DEFAULTS`); what would make the engine a hole in the wall is refused.
It becomes vLLM (same process), so that SIGTERM reaches it: open answers then get `--shutdown-timeout` seconds.
Standard library only: the image's Python is whatever the base has.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence

SERVER = ("-m", "vllm.entrypoints.openai.api_server")
DRAIN = "SPILLWAY_DRAIN_S"
DRAIN_S = 120
LONGEST_DRAIN_S = 3600
DEFAULTS = (
    ("--host", "0.0.0.0"),
    ("--port", "8000"),
    ("--allowed-media-domains", "none.invalid"),  # no list at all would let vLLM fetch from anywhere
    ("--max-num-queued-reqs", "256"),  # a back-stop: gateways spill long before, and read its 503 as full
    ("--disable-access-log-for-endpoints", "/health,/metrics"),
)
REFUSED = {
    "--trust-remote-code": "it runs code that comes with the weights; use a model that vLLM knows",
    "--api-key": "every list of processes would show it; set VLLM_API_KEY",
}
REFUSED_VARIABLES = {
    "VLLM_SERVER_DEV_MODE": "it opens endpoints that sleep, reset and reconfigure the engine",
}
FALSE = ("", "0")


def refusals(arguments: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Why this engine must not start, each with the words to fix it; none when it may."""
    found = [f"{flag} is refused: {why}" for flag, why in REFUSED.items() if has_flag(arguments, flag)]
    found += [
        f"{name}={environ[name]} is refused: {why}; unset it"
        for name, why in REFUSED_VARIABLES.items()
        if environ.get(name, "") not in FALSE
    ]
    if not environ.get("VLLM_API_KEY"):
        found.append(
            "VLLM_API_KEY is not set: whoever reaches the port could use the engine; "
            "set it to what the gateway has as SPILLWAY_ENGINE_KEY"
        )
    if drain_s(environ) is None:
        found.append(f"{DRAIN} must be whole seconds from 0 to {LONGEST_DRAIN_S}, not '{environ[DRAIN]}'")
    return found


def command(python: str, arguments: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The command line of vLLM: what is not told is as `DEFAULTS` has it, and open answers get time to end."""
    given = (*DEFAULTS, ("--shutdown-timeout", str(drain_s(environ))))
    added = [word for flag, value in given if not has_flag(arguments, flag) for word in (flag, value)]
    return [python, *SERVER, *added, *arguments]


def has_flag(arguments: Sequence[str], flag: str) -> bool:
    """Whether the flag is given, as `--flag value` or `--flag=value`, with dashes or underscores as vLLM takes both."""
    return any(one.partition("=")[0].replace("_", "-") == flag for one in arguments if one.startswith("--"))


def drain_s(environ: Mapping[str, str]) -> int | None:
    """How long open answers get after SIGTERM; None when the variable says no such number."""
    word = environ.get(DRAIN) or str(DRAIN_S)
    seconds = int(word) if re.fullmatch(r"[0-9]{1,4}", word) else None
    return seconds if seconds is not None and seconds <= LONGEST_DRAIN_S else None


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """This process is vLLM, or has ended with 2 and said why."""
    if any(one in ("-h", "--help") for one in arguments):
        sys.stdout.write(__doc__ or "")
        return
    found = refusals(arguments, environ)
    if found:
        sys.stderr.write("".join(f"error: {line}\n" for line in found))
        sys.exit(2)
    line = command(sys.executable, arguments, environ)
    os.execv(line[0], line)  # noqa: S606  # no shell, on purpose


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
