"""What both clients of the gateway read of a call: theirs to say, so that neither knows the gateway."""

from __future__ import annotations

from typing import Protocol


class Call(Protocol):
    """The fields of `gateway.ports.UpstreamCall` that are used."""

    base_url: str
    path: str
    headers: tuple[tuple[str, str], ...]
    request_id: str
    body: bytes
    stream: bool
    connect_timeout_s: float
