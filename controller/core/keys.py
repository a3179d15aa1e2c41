"""API keys: `sp-<public id>-<secret><check digits>`; only an HMAC-SHA256 of the secret under a pepper is stored.

The check digits tell a typing error without asking anybody, and let scanners find leaked keys. Keys made before there
were any have a shorter last part, and stay good.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from zlib import crc32

KEY_PREFIX = "sp-"
SECRET_CHARS = 64  # 256 bits in hex
CHECK_CHARS = 8
FIRST_PEPPER = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A stored key. `digest` is 32 bytes, under the pepper of that number; `revoked_at_s` None while it is good."""

    public_id: str
    tenant: str
    name: str
    digest: bytes
    created_at_s: float
    revoked_at_s: float | None = None
    pepper_id: int = FIRST_PEPPER


def key_text(public_id: str, secret: str) -> str:
    """The key as its owner gets it."""
    body = f"{KEY_PREFIX}{public_id}-{secret}"
    return body + _check_digits(body)


def key_digest(pepper: bytes, secret: str) -> bytes:
    """HMAC-SHA256(pepper, secret): a stolen table is useless without the pepper."""
    return hmac.digest(pepper, secret.encode("utf-8", "surrogatepass"), "sha256")


def split_key(key: str) -> tuple[str, str] | None:
    """(public id, secret), or None when the text cannot be one of our keys, be it by its check digits."""
    return None if is_mistyped(key) else claimed_parts(key)


def claimed_parts(key: str) -> tuple[str, str] | None:
    """(public id, secret) of what has the form of a key, whatever its check digits are."""
    parts = _parts(key)
    with_digits = parts is not None and len(parts[1]) == SECRET_CHARS + CHECK_CHARS
    return (parts[0], parts[1][:SECRET_CHARS]) if parts is not None and with_digits else parts


def is_mistyped(key: str) -> bool:
    """Whether it has the form of a key with check digits, and they are not its own."""
    parts = _parts(key)
    with_digits = parts is not None and len(parts[1]) == SECRET_CHARS + CHECK_CHARS
    return with_digits and key[-CHECK_CHARS:] != _check_digits(key[:-CHECK_CHARS])


def key_matches(record: KeyRecord, pepper: bytes, secret: str) -> bool:
    """Whether the secret belongs to a live key; takes the same time for wrong and revoked ones."""
    return hmac.compare_digest(record.digest, key_digest(pepper, secret)) and record.revoked_at_s is None


def _parts(key: str) -> tuple[str, str] | None:
    if not key.startswith(KEY_PREFIX) or len(key) > 200:
        return None
    public_id, _, secret = key[len(KEY_PREFIX) :].partition("-")
    return (public_id, secret) if public_id and secret else None


def _check_digits(text: str) -> str:
    return f"{crc32(text.encode('utf-8', 'surrogatepass')):0{CHECK_CHARS}x}"
