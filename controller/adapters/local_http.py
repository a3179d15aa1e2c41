"""Plain HTTP to our own processes on this machine, and the client that `spillway load` plays traffic with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx
import orjson

TIMEOUT_S = 2.0


class LocalHttp:
    """Short reads with a deadline; `None` means nobody answered well, never an exception."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._client = httpx.Client(timeout=timeout_s, trust_env=False)

    def get(self, url: str) -> bytes | None:
        """The body of a 200 answer."""
        try:
            response = self._client.get(url)
        except httpx.HTTPError:
            return None
        return response.content if response.status_code == 200 else None

    def get_json(self, url: str) -> object | None:
        """The parsed body of a 200 answer."""
        body = self.get(url)
        if body is None:
            return None
        try:
            return orjson.loads(body)  # type: ignore[no-any-return] # JSON is whatever it is: the caller checks
        except ValueError:
            return None

    def close(self) -> None:
        """Afterwards no connection is open."""
        self._client.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one streamed chat request. `complete`: an end marker after a finish reason, and no error event."""

    status: int | None
    ttft_s: float | None
    e2e_s: float
    complete: bool
    input_tokens: int | None
    output_tokens: int | None
    headers: Mapping[str, str]
    error: str | None


class ChatClient:
    """Streams chat completions from the gateway as an SDK would, without retries, so that each answer counts."""

    def __init__(self, base_url: str, key: str, *, timeout_s: float = 120.0) -> None:
        self._url = f"{base_url}/chat/completions"
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            trust_env=False,
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def stream(self, body: Mapping[str, object]) -> Answer:
        """Send one request and read its stream to the end."""
        started_s = time.monotonic()
        reader = _StreamReader(started_s)
        status: int | None = None
        headers: Mapping[str, str] = {}
        error: str | None = None
        try:
            async with self._client.stream("POST", self._url, content=orjson.dumps(body)) as response:
                status, headers = response.status_code, dict(response.headers)
                if status != 200:
                    error = (await response.aread()).decode("utf-8", "replace")[:300]
                else:
                    async for line in response.aiter_lines():
                        reader.feed(line)
        except httpx.HTTPError as failure:
            error = f"{type(failure).__name__}: {failure}"
        return Answer(
            status=status,
            ttft_s=reader.ttft_s,
            e2e_s=time.monotonic() - started_s,
            complete=reader.complete and error is None,
            input_tokens=reader.usage.get("prompt_tokens"),
            output_tokens=reader.usage.get("completion_tokens"),
            headers=headers,
            error=error or reader.error,
        )


class _StreamReader:
    """Reads the events of one chat stream."""

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s
        self._finished = False
        self._ended = False
        self.ttft_s: float | None = None
        self.usage: dict[str, int] = {}
        self.error: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the stream ended as it should."""
        return self._finished and self._ended and self.error is None

    def feed(self, line: str) -> None:
        """Take one line of the stream."""
        if not line.startswith("data: "):
            return
        if line == "data: [DONE]":
            self._ended = True
            return
        event = orjson.loads(line[6:])
        if "error" in event:
            self.error = str(event["error"])[:300]
        if event.get("usage"):
            self.usage = event["usage"]
        for choice in event.get("choices", ()):
            self._finished = self._finished or choice.get("finish_reason") is not None
            if self.ttft_s is None and choice.get("delta", {}).get("content"):
                self.ttft_s = time.monotonic() - self._started_s
