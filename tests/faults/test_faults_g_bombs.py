"""Fault group G, bombs: requests that are small for the gateway and ruinous for an engine behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults import caller
from tests.faults.caller import ANSWERED, REFUSED
from tests.faults.play import play
from tests.faults.raw_socket import exchange, statuses
from tests.faults.rows import row
from tests.faults.world import POOL, World, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

Fields = Mapping[str, object]
# All that an engine may ever hear of a chat or a completion; a field more needs a look at what it can do there.
HEARD = frozenset(
    {
        "model",
        "messages",
        "prompt",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "n",
        "seed",
        "stop",
        "stop_token_ids",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "length_penalty",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "response_format",
        "structured_outputs",
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "include_reasoning",
        "user",
        "min_tokens",
        "ignore_eos",
        "include_stop_str_in_output",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "add_generation_prompt",
        "continue_final_message",
        "bad_words",
        "allowed_token_ids",
        "truncate_prompt_tokens",
        "return_token_ids",
        "use_beam_search",
        "echo",
        "best_of",
        "suffix",
        "cache_salt",
    }
)
TEMPLATE = "{% for a in range(10**9) %}{% for b in range(10**9) %}x{% endfor %}{% endfor %}"
# What is not on the list is left out, and the request is answered without it.
LEFT_OUT: dict[str, Fields] = {
    "a template": {"chat_template": TEMPLATE},
    "arguments of a template": {"chat_template_kwargs": {"enable_thinking": TEMPLATE, "tokenize": False}},
    "arguments of the image processor": {"mm_processor_kwargs": {"num_crops": 10**9, "size": {"height": 10**6}}},
    "arguments of media readers": {"media_io_kwargs": {"video": {"num_frames": 10**9}}},
    "logprobs of the prompt": {"prompt_logprobs": 10**9},
    "code by its name": {"logits_processors": ["os.system", {"qualname": "os.system", "args": ["id"]}]},
    "arguments of plug-ins": {"vllm_xargs": {"a": "b"}, "extra_args": {"a": "b"}},
    "a place for the KV cache": {"kv_transfer_params": {"remote_host": "169.254.169.254", "remote_port": 80}},
    "the salt of another tenant": {"cache_salt": "canary-salt"},
    "a backend": {"guided_decoding_backend": "outlines", "guided_whitespace_pattern": "(a+)+$"},
    "documents": {"documents": [{"text": "x" * 1000}] * 1000},
    "a priority": {"priority": -(10**9), "request_id": "another"},
    "names from nowhere": {f"field_{number}": [number] for number in range(1000)},
    "a name that is none": {"__class__": {"__init__": 1}, "": 1, "model ": "other"},
}
DEEP_SCHEMA = json.loads('{"a":' * 100 + "1" + "}" * 100)
# These are on the list, and so they have caps: 4xx, and nothing is sent on.
REFUSED_BY_A_CAP: dict[str, Fields] = {
    "n": {"n": 10**9},
    "n below one": {"n": -1},
    "best of a billion": {"best_of": 10**9},
    "max_tokens": {"max_tokens": 10**18},
    "max_tokens beyond 64 bits": {"max_tokens": 2**80},
    "least tokens": {"min_tokens": 10**12},
    "cut of the prompt": {"truncate_prompt_tokens": 10**12},
    "logprobs": {"logprobs": True, "top_logprobs": 10**9},
    "a bias for every token": {"logit_bias": {str(token): 1 for token in range(100_000)}},
    "bad words": {"bad_words": ["x"] * 100_000},
    "stops": {"stop": ["x"] * 100_000},
    "stop tokens": {"stop_token_ids": [1] * 100_000},
    "allowed tokens": {"allowed_token_ids": [1] * 100_000},
    "counts in a guided expression": {"guided_regex": "((a{1000}){1000}){1000}"},
    "a long guided expression": {"guided_regex": "(a|b)*" * 10_000},
    "counts in a structured expression": {"structured_outputs": {"regex": "(a{9999}){9999}"}},
    "a grammar": {"guided_grammar": 'root ::= "a"\n' * 100_000},
    "choices": {"guided_choice": ["x"] * 100_000},
    "a deep schema": {"tools": [{"type": "function", "function": {"name": "f", "parameters": DEEP_SCHEMA}}]},
    "a deep answer format": {"response_format": {"type": "json_schema", "json_schema": {"schema": DEEP_SCHEMA}}},
}


def _image(url: str) -> Fields:
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    return {"messages": [{"role": "user", "content": parts}]}


MEDIA: dict[str, Fields] = {
    "an image beyond the body": _image("data:image/png;base64," + "A" * (11 * 1024 * 1024)),
    "a video": {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "data:,"}}]}]},
    "an embedding": {"messages": [{"role": "user", "content": [{"type": "image_embeds", "image_embeds": "gASV"}]}]},
    "a file": _image("file:///dev/zero"),
}
PROMPTS: dict[str, Fields] = {
    "pickled embeddings": {"prompt_embeds": "gASVHgAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAJpZJSFlFKULg=="},
    "best of a billion": {"best_of": 10**9},
    "logprobs": {"logprobs": 10**9},
    "n": {"n": 10**9},
}


async def _is_refused(here: World, name: str, fields: Fields) -> None:
    before = len(here.calls)
    told = await here.ask(stream=False, fields=fields)
    assert told.end == REFUSED, f"{name}: {told.end}"
    assert told.status in (400, 413, 503), f"{name}: {told.status} {told.body[:200]!r}"
    assert len(told.body) < 2_000, f"{name}: the refusal repeats what was sent"
    assert len(here.calls) == before, f"{name} reached the engine"


async def _corpus(here: World) -> None:
    """All of it once."""
    for name, fields in LEFT_OUT.items():
        told = await here.ask(fields=fields)
        assert told.end == ANSWERED, f"{name}: {told.status} {told.body[:200]!r}"
        body = here.calls[-1].body
        assert not fields.keys() & (body.keys() - {"cache_salt"}), f"{name}: {sorted(body)}"
        assert body.keys() <= HEARD, f"{name}: {sorted(body.keys() - HEARD)}"
        assert "canary-salt" not in json.dumps(body), name
    for name, fields in (REFUSED_BY_A_CAP | MEDIA).items():
        await _is_refused(here, name, fields)
    await _completions(here)


def test_g9_bombs_for_engines(tmp_path: Path) -> None:
    """An engine hears listed fields alone, and of those none that asks for more than the caps allow."""

    async def scene() -> None:
        async with world(tmp_path / "g9") as here:
            await _corpus(here)  # what memory grows by the second time does not come back
            async with row(here, "G9", "bombs for engines") as line:
                line.injected()
                await _corpus(here)
                line.detected()
                line.figures["bombs"] = sum(map(len, (LEFT_OUT, REFUSED_BY_A_CAP, MEDIA, PROMPTS)))
                assert (await here.ask()).end == ANSWERED
                line.healed()

    play(scene())


async def _completions(here: World) -> None:
    """The same of the older operation."""
    for name, fields in PROMPTS.items():
        document = {"model": POOL, "prompt": here.canaries.prompt, "max_tokens": 5, **fields}
        before = len(here.calls)
        here.offered += 1
        request = caller.request_bytes(here.gateway.key, document, path="/v1/completions")
        said, _ = await exchange(here.gateway.port, request, listen_s=0.5)
        heard = here.calls[before:]
        assert statuses(said) == ([200] if heard else [400]), f"{name}: {said[:80]!r}"
        assert all(call.body.keys() <= HEARD for call in heard), name
