"""Addresses in spillway.yaml and in the environment: engines, admin ports of gateways, hosts of media."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"  # 1 to 65535
_HOST_PORT = rf"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:{_PORT})?"
TLS_ELSEWHERE = "what speaks https is set up as a provider"
ENDPOINT = f"http://{_HOST_PORT}"  # the gateway calls engines over plain HTTP only; it checks certificates of providers
Endpoint = Annotated[
    str,
    Field(
        pattern=rf"^{ENDPOINT}(/v1)?/?$",
        max_length=300,
        description=f"http://host:port, with or without /v1; {TLS_ELSEWHERE}",
    ),
]
AdminServer = Annotated[str, Field(pattern=rf"^https?://{_HOST_PORT}$", max_length=300, description="http://host:port")]
Host = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$",
        max_length=253,
        description="a host name in lower case, with a dot in it",
    ),
]
