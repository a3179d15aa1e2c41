"""The door for requests with an Idempotency-Key: who calls, under which key, with what; then `idempotent_answers`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from controller.config.settings import CAPS
from controller.core.errors import RequestError
from controller.gateway.answers import Headers, send_error
from controller.gateway.auth import Doorman, credential
from controller.gateway.guard import CallerLeft
from controller.gateway.idempotent_answers import IdempotentAnswers, Repeatable
from controller.gateway.json_body import too_large
from controller.gateway.ports import Line
from controller.gateway.request_body import is_worth_reading, read_body
from controller.gateway.routes import Route
from controller.gateway.wishes import HeaderMap

Answer = Callable[[Route, Line], Awaitable[None]]


def check_key(value: bytes) -> bytes:
    """The key, if it is one: RequestError 400 when not."""
    if 0 < len(value) <= CAPS.idempotency_key_bytes and all(0x20 <= byte <= 0x7E for byte in value):
        return value
    raise RequestError(
        f"`Idempotency-Key` must be 1 to {CAPS.idempotency_key_bytes} printable ASCII characters, "
        f"got {len(value)} bytes",
        status=400,
        code="invalid_idempotency_key",
        param="idempotency-key",
        should_retry=False,
    )


class Idempotency:
    """Serves requests that may be sent again."""

    def __init__(
        self,
        answers: IdempotentAnswers,
        *,
        door: Doorman,
        answer: Answer,
        request_id: Callable[[], str],
        refused: dict[int, int],
        body_bytes: int,
        body_s: float,
    ) -> None:
        self._answers = answers
        self._door = door
        self._answer = answer
        self._request_id = request_id
        self._refused = refused
        self._body_bytes = body_bytes
        self._body_s = body_s

    def reconfigure(self, *, body_bytes: int, body_s: float, idle_s: float) -> None:
        """Limits of requests that come from now on."""
        self._body_bytes, self._body_s = body_bytes, body_s
        self._answers.reconfigure(idle_s)

    async def aclose(self) -> None:
        """Afterwards nothing is being answered any more."""
        await self._answers.aclose()

    async def serve(self, route: Route, headers: HeaderMap, line: Line) -> None:
        """One request: its answer, the repetition of it, or a refusal."""

        def answer(recorded: Line) -> Awaitable[None]:
            return self._answer(route, recorded)

        try:
            key = self._door.admit(credential(headers))
            name = key.tenant, check_key(headers.get(b"idempotency-key", b""))
            body = await self._body(headers, line)
            await self._answers.serve(Repeatable(name=name, body=body, answer=answer), line)
        except RequestError as error:
            self._refused[error.status] = self._refused.get(error.status, 0) + 1
            closes = error.status == 413 and not is_worth_reading(headers)
            extra: Headers = [(b"connection", b"close")] if closes else []
            send_error(line, error, route.caller, self._request_id().encode(), extra)
        except CallerLeft:
            pass

    async def _body(self, headers: HeaderMap, line: Line) -> bytes:
        body = line.whole_body()
        if body is not None:
            if len(body) > self._body_bytes:
                raise too_large(self._body_bytes)
            return body
        return await read_body(headers, line, self._body_bytes, self._body_s)
