"""API keys: `sp-<public id>-<secret>`; only an HMAC-SHA256 of the secret under a pepper is stored."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

KEY_PREFIX = "sp-"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A stored key. `digest` is 32 bytes; `revoked_at_s` None while it is good."""

    public_id: str
    tenant: str
    name: str
    digest: bytes
    created_at_s: float
    revoked_at_s: float | None = None


def key_digest(pepper: bytes, secret: str) -> bytes:
    """HMAC-SHA256(pepper, secret): a stolen table is useless without the pepper."""
    return hmac.digest(pepper, secret.encode("utf-8", "surrogatepass"), "sha256")


def split_key(key: str) -> tuple[str, str] | None:
    """(public id, secret), or None when the text cannot be one of our keys."""
    if not key.startswith(KEY_PREFIX) or len(key) > 200:
        return None
    public_id, _, secret = key[len(KEY_PREFIX) :].partition("-")
    if not public_id or not secret:
        return None
    return public_id, secret


def key_matches(record: KeyRecord | None, pepper: bytes, secret: str) -> bool:
    """Whether the secret belongs to a live key; takes the same time for unknown, wrong and revoked ones."""
    expected = record.digest if record is not None else bytes(32)
    same = hmac.compare_digest(expected, key_digest(pepper, secret))
    return same and record is not None and record.revoked_at_s is None
