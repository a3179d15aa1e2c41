"""Idempotency-Key: one upstream call and one row in the books, however often and wherever the request is sent.

The request is answered by a task of its own, which goes on when its callers leave: who comes back hears the answer. The
first caller and those who join hear one recording. A claim in the database keeps other gateways from paying as well.
Requests without the header never come here.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog

from controller.core.errors import RequestError
from controller.core.idempotency import Claim, ClaimsUnavailable
from controller.core.records import record
from controller.gateway.ports import Clock, IdempotencyClaims, Line
from controller.gateway.recording import RecordedLine, Recording
from controller.gateway.refusals import internal

log = structlog.get_logger()

KEPT_S = 600.0  # after the end of an answer; a claim of a gateway that died goes after as long
ANSWER_BYTES = 8 * 1024 * 1024  # a longer answer is heard by who listens, and not kept
KEPT_BYTES = 64 * 1024 * 1024
KEPT_ANSWERS = 10_000
CLAIM_S = 2.0  # for the database
REPLAY = (b"x-spillway-idempotent-replay", b"true")

Answer = Callable[[Line], Awaitable[None]]
Name = tuple[str, bytes]  # tenant and key


@record
class Repeatable:
    """A request that may be sent again, and what answers it the first time."""

    name: Name
    body: bytes
    answer: Answer


def _reused() -> RequestError:
    return RequestError(
        "this `Idempotency-Key` came with another request before; take a new one, or send the same body",
        status=422,
        code="idempotency_key_reused",
        param="idempotency-key",
        should_retry=False,
    )


def _in_progress() -> RequestError:
    return RequestError(
        "the request with this `Idempotency-Key` is being answered by another gateway, or is too long to be heard late",
        status=409,
        code="idempotency_in_progress",
        retry_after_s=1.0,
    )


def _answered() -> RequestError:
    return RequestError(
        "the request with this `Idempotency-Key` was answered, and its answer is not kept here; ask the gateway that"
        " answered it, or take a new key",
        status=409,
        code="idempotency_answered",
        param="idempotency-key",
        should_retry=False,
    )


_REFUSALS = {Claim.TAKEN: _in_progress, Claim.ANSWERED: _answered, Claim.REUSED: _reused}
_COUNTED = {Claim.TAKEN: "in_progress", Claim.ANSWERED: "answered", Claim.REUSED: "reused"}


class IdempotentAnswers:
    """What is being answered and what was, by tenant and key; one per gateway."""

    def __init__(
        self,
        claims: IdempotencyClaims,
        clock: Clock,
        *,
        pepper: bytes,
        idle_s: float,
        heard: dict[str, int],
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._claims = claims
        self._clock = clock
        self._pepper = pepper
        self._idle_s = idle_s
        self._limit_bytes = kept_bytes
        self._running: dict[Name, Recording] = {}
        self._kept: OrderedDict[Name, tuple[float, Recording]] = OrderedDict()  # by their ends
        self._kept_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = heard  # by what became of each: first, replayed, reused, in_progress, answered

    def reconfigure(self, idle_s: float) -> None:
        """How long an answer that begins from now on may stand still."""
        self._idle_s = idle_s

    async def serve(self, request: Repeatable, line: Line) -> None:
        """Afterwards the caller has heard the answer, its first or a repetition; CallerLeft, or RequestError."""
        digest = self._digest(line.path, request.body)
        recording, extra = self._find(request.name), [REPLAY]
        if recording is None:
            self._count("first")
            recording, extra = self._begin(request, digest, line), []
        elif not hmac.compare_digest(recording.digest, digest):
            self._count("reused")
            raise _reused()
        elif not recording.whole:
            self._count("in_progress")
            raise _in_progress()
        else:
            self._count("replayed")
        await recording.play(line, extra)

    def _count(self, what: str) -> None:
        self._heard[what] = self._heard.get(what, 0) + 1

    def _digest(self, *parts: bytes) -> bytes:
        """Keyed, so that what lies in the database tells nothing about keys and bodies."""
        return hmac.digest(self._pepper, b"\0".join(parts), "sha256")

    async def aclose(self) -> None:
        """Afterwards nothing is being answered any more; end it first, this only waits."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _find(self, name: Name) -> Recording | None:
        running = self._running.get(name)
        if running is not None:
            return running
        now_s = self._clock.monotonic_s()
        while self._kept and next(iter(self._kept.values()))[0] <= now_s:
            self._evict()
        kept = self._kept.get(name)
        return None if kept is None else kept[1]

    def _begin(self, request: Repeatable, digest: bytes, line: Line) -> Recording:
        recording = self._running[request.name] = Recording(digest, ANSWER_BYTES, self._idle_s)
        recorded = RecordedLine(line, request.body, recording)
        task = asyncio.create_task(self._lead(request, recorded, recording), name="idempotent-answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return recording

    async def _lead(self, request: Repeatable, recorded: RecordedLine, recording: Recording) -> None:
        tenant, text = request.name
        key = self._digest(tenant.encode(), text)
        nonce = secrets.token_bytes(16)
        refusal: RequestError | None = None
        try:
            refusal = await self._claim(key, recording.digest, nonce)
            if refusal is None:
                await request.answer(recorded)
            else:
                recording.refuse(refusal)
        finally:
            if not recording.ended:  # a defect: nobody waits for ever
                recording.refuse(internal())
            self._end(request.name, recording)
            if refusal is None:
                await self._settle(key, nonce, kept=not recording.frees_its_key)

    async def _claim(self, key: bytes, digest: bytes, nonce: bytes) -> RequestError | None:
        """None when it is ours to answer. Without the database it is too: what costs money is closed then anyway."""
        now_s = self._clock.unix_s()
        try:
            async with asyncio.timeout(CLAIM_S):
                claim = await self._claims.claim(key, digest, nonce, now_s=now_s, expires_at_s=now_s + KEPT_S)
        except (ClaimsUnavailable, TimeoutError) as error:
            log.warning("idempotency_claim_failed", error=type(error).__name__)
            return None
        if claim is Claim.GRANTED:
            return None
        self._count(_COUNTED[claim])
        return _REFUSALS[claim]()

    async def _settle(self, key: bytes, nonce: bytes, *, kept: bool) -> None:
        try:
            async with asyncio.timeout(CLAIM_S):
                if kept:
                    await self._claims.finish(key, nonce, expires_at_s=self._clock.unix_s() + KEPT_S)
                else:
                    await self._claims.release(key, nonce)
        except (ClaimsUnavailable, TimeoutError) as error:
            log.warning("idempotency_claim_not_settled", error=type(error).__name__)

    def _end(self, name: Name, recording: Recording) -> None:
        del self._running[name]
        if (
            recording.refusal is not None
            or recording.frees_its_key
            or not recording.whole
            or recording.kept_bytes > ANSWER_BYTES
        ):
            return
        self._kept[name] = (self._clock.monotonic_s() + KEPT_S, recording)
        self._kept_bytes += recording.kept_bytes
        while self._kept_bytes > self._limit_bytes or len(self._kept) > KEPT_ANSWERS:
            self._evict()

    def _evict(self) -> None:
        _, (_, recording) = self._kept.popitem(last=False)
        self._kept_bytes -= recording.kept_bytes
