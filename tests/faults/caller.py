"""A caller with full control over its socket: leaves by reset or in order, and judges what it was told."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

from tests.faults.stub import reset

ANSWERED, REFUSED, BROKEN, LEFT, CUT = "answered", "refused", "broken", "left", "cut"
DEADLINE_S = 45.0
REAL_DEADLINE_S = 150.0  # of a long answer of a real engine that has half a slow core


@dataclass(kw_only=True)
class Leave:
    """When and how a caller leaves: so long after sending, or after so many events with content."""

    after_s: float | None = None
    after_events: int | None = None
    by_reset: bool = True


@dataclass(kw_only=True)
class Told:
    """What a caller heard of one request. `end` is ANSWERED, REFUSED, BROKEN (error event), LEFT or CUT."""

    sent_s: float
    stream: bool
    end: str = CUT
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    events: list[str] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    head_s: float | None = None
    first_s: float | None = None  # of the first event with content
    ended_s: float = 0.0
    sending_s: float = 0.0

    @property
    def request_id(self) -> str:
        """The gateway's id; empty when no head came."""
        return self.headers.get("x-request-id", "")

    @property
    def took_s(self) -> float:
        """From sending to the end."""
        return self.ended_s - self.sent_s

    @property
    def error(self) -> dict[str, object]:
        """The error that was told, of a refusal or in a stream."""
        if self.end == REFUSED:
            return dict(json.loads(self.body)["error"])
        return dict(json.loads(self.events[-1])["error"])

    @property
    def text(self) -> str:
        """All content in order."""
        return "".join(self.content)

    @property
    def sources(self) -> set[str]:
        """The stubs that made this answer, by the words in it."""
        return {word.rsplit(":", 1)[0] for word in self.text.split()}

    def complaint(self) -> str:
        """What is wrong with it (invariants I1 and I4), or nothing."""
        if self.end == CUT:
            return f"{self.request_id or 'a request'} ended without an answer or an error (status {self.status})"
        if self.end == REFUSED and not isinstance(json.loads(self.body or b"{}").get("error"), dict):
            return f"{self.request_id} was refused without an error: {self.body[:80]!r}"
        if len(self.sources) > 1:
            return f"{self.request_id} was answered by {sorted(self.sources)}"
        numbers = [int(word.rsplit(":", 1)[1]) for word in self.text.split()]
        if numbers != list(range(len(numbers))):
            return f"{self.request_id} has gaps or repeats in its answer"
        return ""


def request_bytes(key: str, document: object, *, path: str = "/v1/chat/completions", **headers: str) -> bytes:
    """A whole request; underscores of header names stand for dashes."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"POST {path} HTTP/1.1", "host: gateway", f"authorization: Bearer {key}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def ask(
    port: int, request: bytes, *, stream: bool, leave: Leave | None = None, deadline_s: float = DEADLINE_S
) -> Told:
    """Sends a request on a connection of its own and listens to the end, or leaves."""
    told = Told(sent_s=time.monotonic(), stream=stream)
    leave = leave or Leave()
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        writer.write(request)
        async with asyncio.timeout(deadline_s if leave.after_s is None else leave.after_s):
            await writer.drain()
            told.sending_s = time.monotonic() - told.sent_s
            await listen(reader, told, leave_after_events=leave.after_events)
    except TimeoutError:
        told.end = CUT if leave.after_s is None else LEFT
    except (ConnectionError, asyncio.IncompleteReadError):
        told.end = CUT
    finally:
        told.ended_s = time.monotonic()
        if writer is not None:
            if told.end == LEFT and leave.by_reset:
                reset(writer)
            writer.close()
    return told


async def listen(reader: asyncio.StreamReader, told: Told, *, leave_after_events: int | None = None) -> None:
    """Reads one answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    told.head_s = time.monotonic()
    line, *fields = head.strip().split("\r\n")
    told.status = int(line.split(" ")[1])
    told.headers = {name.lower(): value.strip() for name, value in (field.split(":", 1) for field in fields)}
    if told.headers.get("transfer-encoding") == "chunked":
        await _listen_to_events(reader, told, leave_after_events)
        return
    told.body = await reader.readexactly(int(told.headers["content-length"]))
    told.end = ANSWERED if told.status == 200 else REFUSED
    if told.status == 200:
        document = json.loads(told.body)
        if "choices" in document:
            told.content = [document["choices"][0]["message"]["content"]]


async def _listen_to_events(reader: asyncio.StreamReader, told: Told, leave_after_events: int | None) -> None:
    rest = ""
    while size_bytes := int(await reader.readuntil(b"\r\n"), 16):
        rest += (await reader.readexactly(size_bytes + 2))[:-2].decode()
        *made, rest = rest.split("\n\n")
        for event in made:
            _note(told, event)
        if leave_after_events is not None and len(told.content) >= leave_after_events:
            told.end = LEFT
            return
    await reader.readexactly(2)
    last = told.events[-1] if told.events else ""
    if last == "[DONE]":
        told.end = ANSWERED
    elif last.startswith('{"error"'):
        told.end = BROKEN


def _note(told: Told, event: str) -> None:
    data = "\n".join(line.removeprefix("data: ") for line in event.split("\n") if line.startswith("data: "))
    if not data:
        return
    told.events.append(data)
    if data == "[DONE]" or data.startswith('{"error"'):
        return
    for choice in json.loads(data)["choices"]:
        if content := (choice.get("delta") or {}).get("content"):
            told.first_s = told.first_s or time.monotonic()
            told.content.append(content)
