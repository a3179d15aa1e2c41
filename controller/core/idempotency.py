"""What gateways tell each other about Idempotency-Keys."""

from __future__ import annotations

from enum import Enum

from controller.core.errors import SpillwayError


class Claim(Enum):
    """What became of the wish to answer a request under a key."""

    GRANTED = "granted"
    TAKEN = "taken"  # the same request is being answered elsewhere
    ANSWERED = "answered"  # it was, there or here, and nobody answers it again
    REUSED = "reused"  # another request has this key


class ClaimsUnavailable(SpillwayError):
    """The claims cannot be reached now; whether the last one was made is not known."""
