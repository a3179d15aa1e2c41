"""How the tests ask `spillway route explain`; no answer shows the text of the request."""

from __future__ import annotations

import json

from published import run as run_command
from typer.testing import Result

from controller.cli import route

SECRET = "the launch code is 0000"
CHAT = {"model": "auto", "messages": [{"role": "user", "content": SECRET}], "max_tokens": 50}
NEVER = ("--header", "x-spillway-spill: never")
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "TOGETHER_API_KEY")


def explain(document: object, *arguments: str) -> Result:
    """One call on a body from stdin."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    result = run_command(route.register, "route", "explain", "-", *arguments, stdin=body)
    assert SECRET not in result.output
    return result
