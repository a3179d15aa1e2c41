"""Prompts as text and tokens, and answers made up from them: the same prompt and seed always give the same answer.

A token is four bytes of UTF-8. Called by `asks` (what comes in) and `plans` (what goes out).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zlib import crc32

TOKEN_BYTES = 4
IMAGE_TOKENS = 800
_SENTENCE = (
    "the pool answers and every stream is short while one replica waits for its turn so that all of them finish "
    "in time and nobody is lost when load grows or a node leaves because traffic moves to where room is left"
)
_WORDS = tuple(f" {word}" for word in _SENTENCE.split())


def count_tokens(data: bytes) -> int:
    """Tokens of a text, at least one."""
    return max(1, -(-len(data) // TOKEN_BYTES))


def render_chat(messages: list[Any]) -> tuple[bytes, int]:
    """The messages as one prompt, and how many images are in them."""
    parts: list[str] = []
    images = 0
    for message in messages:
        content = message.get("content")
        parts.append(f"<|{message.get('role')}|>")
        if isinstance(content, str):
            parts.append(content)
        for part in content if isinstance(content, list) else ():
            if part.get("type") in ("image_url", "image"):
                images += 1
            else:
                parts.append(str(part.get("text") or part.get("content") or ""))
        parts.extend(str(call) for call in message.get("tool_calls") or ())
        parts.append("\n")
    parts.append("<|assistant|>")
    return "".join(parts).encode("utf-8", "surrogatepass"), images


def block_hashes(prompt: bytes, salt: str, block_size_tokens: int) -> tuple[int, ...]:
    """One hash per full prompt block, each covering everything before it; a salt keeps tenants apart."""
    size = block_size_tokens * TOKEN_BYTES
    hashes: list[int] = []
    previous = hash(salt)
    for start in range(0, len(prompt) - size + 1, size):
        previous = hash((previous, prompt[start : start + size]))
        hashes.append(previous)
    return tuple(hashes)


def seed_of(prompt: bytes, seed: int | None, index: int) -> int:
    """A number that stands for prompt, seed and choice; equal in every process."""
    return crc32(f"{seed}/{index}".encode(), crc32(prompt))


def words(seed: int) -> Iterator[str]:
    """Endless tokens, one word each."""
    state = seed & 0x7FFFFFFF
    while True:
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        yield _WORDS[(state >> 16) % len(_WORDS)]


def instance_of(schema: object, depth: int = 0) -> object:
    """A small value that fits a JSON schema, as far as types, enums and required properties go."""
    if not isinstance(schema, dict) or depth > 8:
        return "simulated"
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        return {name: instance_of(properties.get(name), depth + 1) for name in schema.get("required") or properties}
    if kind == "array":
        return [instance_of(schema.get("items"), depth + 1)]
    return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(str(kind), "simulated")
