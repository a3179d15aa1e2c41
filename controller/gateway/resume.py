"""Continues a stream on another replica when its own one dies in the middle; off unless `gateway.resume` is set.

Only where it is exact: plain text of one choice, greedy (temperature 0) or with the caller's leave. Prompt and answer
so far go on as token ids: sent as text (vLLM's `continue_final_message`) they could be cut into other tokens than those
that were chosen, and a greedy answer would leave its path. Before that the new engine turns the ids into text, which
must be what the caller has got; what an engine still held back is computed again.
"""

from __future__ import annotations

import orjson

from controller.core.errors import EngineUnavailable, StreamBroken, UpstreamError, UpstreamTimeout
from controller.core.pools import Pool
from controller.gateway.exchange import Skip
from controller.gateway.own_pools import OwnPools
from controller.gateway.ports import Clock, Upstream, UpstreamCall, UpstreamResponse
from controller.gateway.relay import read_whole, refuse_errors
from controller.gateway.resumable_stream import ResumableStream
from controller.routing.balance import Candidate

RESUMPTIONS_MAX = 2  # of one stream
HELD_BACK_MAX = 8  # tokens at the end whose text an engine may not have given yet
_COMPLETIONS, _DETOKENIZE = "/v1/completions", "/detokenize"


def is_death(error: UpstreamError) -> bool:
    """Whether the engine is gone or silent: what it says itself, an error event, stands."""
    return isinstance(error, EngineUnavailable | StreamBroken | UpstreamTimeout)


class Resumer:
    """Finds another replica and has it go on."""

    def __init__(self, pools: OwnPools, upstream: Upstream, clock: Clock) -> None:
        self._pools = pools
        self._upstream = upstream
        self._clock = clock

    async def resumed(
        self, pool: Pool, request: UpstreamCall, stream: ResumableStream, tried: frozenset[str]
    ) -> tuple[UpstreamResponse, Candidate] | None:
        """The continuation's response and the replica that gives it; None when the stream cannot go on.

        Afterwards `stream` expects the continuation.
        """
        if not stream.can_switch:
            return None
        found = self._pools.find(pool, stream.input_tokens, tried, self._clock.monotonic_s())
        if isinstance(found, Skip):
            return None
        base_url = found.replica.url
        try:
            if not await self._is_exact(base_url, request, stream):
                return None
            body = stream.continuation(request.body, pool.engine.max_model_len_tokens)
            if body is None:
                return None
            response = await self._upstream.open(_call(request, base_url, _COMPLETIONS, body, stream=True))
        except UpstreamError:
            return None
        try:
            await refuse_errors(response, self._clock.unix_s())
        except UpstreamError:
            await response.close()
            return None
        stream.switch()
        return response, found

    async def _is_exact(self, base_url: str, request: UpstreamCall, stream: ResumableStream) -> bool:
        """Whether the ids say what the caller has got; ids whose text was held back are dropped."""
        for _ in range(HELD_BACK_MAX + 1):
            text = await self._text(base_url, request, stream.said_ids)
            if text == stream.said or text.lstrip(" ") == stream.said.lstrip(" "):  # some decoders eat a first space
                return True
            if len(stream.said_ids) < 2 or not text.startswith(stream.said):
                return False
            stream.said_ids.pop()
        return False

    async def _text(self, base_url: str, request: UpstreamCall, ids: list[int]) -> str:
        body = orjson.dumps({"model": orjson.loads(request.body)["model"], "tokens": ids})
        response = await self._upstream.open(_call(request, base_url, _DETOKENIZE, body, stream=False))
        try:
            await refuse_errors(response, self._clock.unix_s())
            answer = orjson.loads(await read_whole(response))
        except orjson.JSONDecodeError as error:
            raise EngineUnavailable("answered 200 with something that is not JSON") from error
        finally:
            await response.close()
        text = answer.get("prompt") if isinstance(answer, dict) else None
        return text if isinstance(text, str) else ""


def _call(request: UpstreamCall, base_url: str, path: str, body: bytes, *, stream: bool) -> UpstreamCall:
    return UpstreamCall(
        base_url=base_url,
        path=path,
        headers=request.headers,
        request_id=request.request_id,
        body=body,
        stream=stream,
        connect_timeout_s=request.connect_timeout_s,
    )
