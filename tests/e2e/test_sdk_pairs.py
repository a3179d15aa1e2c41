"""Every caller dialect at every target dialect through the official clients: the same questions, the same answers.

All of it is asked at once, when the first test runs; the tests then look at what was said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import anthropic
import openai
import pytest

from tests.e2e.sdk_talks import TOOLS, ChatTalk, MessagesTalk, Question, ResponsesTalk, Said, Talk
from tests.e2e.stack import Stack

CALLERS = ("chat", "messages", "responses")
TARGETS = {"own": "llama-8b", "openai": "gpt-4o", "anthropic": "claude-sonnet-5-5"}
SERVED = {"own": "llama-3.1-8b-instruct", "openai": "gpt-4o", "anthropic": "claude-sonnet-5-5"}
AT_ONCE = 12
OWN_ONLY = {"x-spillway-spill": "never"}
CALLS = (("call_1", TOOLS[0]), ("call_2", TOOLS[1]))
QUESTIONS = {
    "text": Question(prompt="Name a colour.", system="Be brief.", max_tokens=5),
    "stop": Question(stop=(" and", " is", " the")),
    "tools": Question(prompt="Please use every tool.", tools=True),
    "results": Question(tools=True, calls=CALLS, results=(("call_1", "rain"), ("call_2", "noon")), max_tokens=5),
    "reasoning": Question(prompt="Think first.", max_tokens=20),
    "image": Question(prompt="See", image=True, max_tokens=5),
}
WAYS = ("whole", "stream")
Answers = Mapping[tuple[str, str, str, str], Said | BaseException]


def _asked(caller: str, target: str, what: str) -> bool:
    return not (what == "stop" and caller == "responses") and not (what == "image" and target == "own")


ALL = [key for key in product(CALLERS, TARGETS, QUESTIONS, WAYS) if _asked(*key[:3])]


async def _ask_all(stack: Stack) -> Answers:
    limit = asyncio.Semaphore(AT_ONCE)
    root = stack.base_url.removesuffix("/v1")
    async with (
        openai.AsyncOpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=3, timeout=30) as oai,
        anthropic.AsyncAnthropic(base_url=root, api_key=stack.key, max_retries=3, timeout=30) as ant,
    ):
        talks: dict[str, Talk] = {"chat": ChatTalk(oai), "messages": MessagesTalk(ant), "responses": ResponsesTalk(oai)}

        async def ask(caller: str, target: str, what: str, way: str) -> Said:
            question = QUESTIONS[what]
            if target == "own":
                question = replace(question, headers=OWN_ONLY)
            async with limit:
                return await talks[caller].ask(TARGETS[target], question, stream=way == "stream")

        found = await asyncio.gather(*[ask(*key) for key in ALL], return_exceptions=True)
    return dict(zip(ALL, found, strict=True))


@pytest.fixture(scope="module")
def answers(stack: Stack) -> Answers:
    """Everything that was said."""
    return asyncio.run(_ask_all(stack))


def _cases(what: str) -> list[tuple[str, str, str]]:
    return [(caller, target, way) for caller, target, asked, way in ALL if asked == what]


def _got(answers: Answers, caller: str, target: str, what: str, way: str) -> Said:
    found = answers[caller, target, what, way]
    if isinstance(found, BaseException):
        raise found
    assert found.model == SERVED[target], "the body names the model that answered"
    assert found.answer_id
    assert found.input_tokens > 0
    return found


@pytest.mark.parametrize(("caller", "target", "way"), _cases("text"))
def test_text(answers: Answers, caller: str, target: str, way: str) -> None:
    """Cut by its limit, and counted."""
    got = _got(answers, caller, target, "text", way)
    assert (got.finish, got.output_tokens) == ("length", 5)
    assert got.text.strip()


@pytest.mark.parametrize(("caller", "target", "way"), _cases("stop"))
def test_stop(answers: Answers, caller: str, target: str, way: str) -> None:
    """Ends before the text that was named."""
    got = _got(answers, caller, target, "stop", way)
    assert got.finish == "stop"
    assert not any(stop in got.text for stop in QUESTIONS["stop"].stop)
    assert got.output_tokens < QUESTIONS["stop"].max_tokens


@pytest.mark.parametrize(("caller", "target", "way"), _cases("tools"))
def test_parallel_tools(answers: Answers, caller: str, target: str, way: str) -> None:
    """Two calls at once, each with an id of its own and arguments that fit."""
    got = _got(answers, caller, target, "tools", way)
    assert got.finish == "tool_calls"
    assert [(name, arguments) for _, name, arguments in got.calls] == [(name, {"city": "simulated"}) for name in TOOLS]
    assert len({call for call, _, _ in got.calls}) == 2


@pytest.mark.parametrize(("caller", "target", "way"), _cases("results"))
def test_tool_results(answers: Answers, caller: str, target: str, way: str) -> None:
    """The turn after two calls is understood."""
    assert _got(answers, caller, target, "results", way).text.strip()


@pytest.mark.parametrize(("caller", "target", "way"), _cases("reasoning"))
def test_reasoning(answers: Answers, caller: str, target: str, way: str) -> None:
    """What the model thought comes apart from what it says."""
    got = _got(answers, caller, target, "reasoning", way)
    assert got.reasoning.strip()
    assert got.text.strip()
    assert got.reasoning not in got.text
    assert got.output_tokens == 20


@pytest.mark.parametrize(("caller", "target", "way"), _cases("image"))
def test_image(answers: Answers, caller: str, target: str, way: str) -> None:
    """Reaches the target, which counts it."""
    got = _got(answers, caller, target, "image", way)
    assert got.input_tokens >= 800


@pytest.mark.parametrize(("caller", "target"), list(product(CALLERS, TARGETS)))
def test_a_stream_says_what_a_whole_answer_says(answers: Answers, caller: str, target: str) -> None:
    """Same text, calls, reasoning, finish and usage, piece by piece or at once."""
    for what in ("text", "tools", "reasoning"):
        whole = _got(answers, caller, target, what, "whole")
        stream = _got(answers, caller, target, what, "stream")
        assert (whole.text, whole.reasoning, whole.finish) == (stream.text, stream.reasoning, stream.finish)
        assert [call[1:] for call in whole.calls] == [call[1:] for call in stream.calls]
        assert whole.output_tokens == stream.output_tokens
        assert whole.input_tokens == stream.input_tokens
