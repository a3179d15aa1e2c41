"""Who is calling: the bearer key, checked in constant time. The tenant comes from the key and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2b

from controller.core.errors import RequestError
from controller.core.keys import SECRET_CHARS, KeyRecord, claimed_parts, is_mistyped, key_matches
from controller.gateway.ports import KeyStore

REMEMBERED_KEYS = 4096
_NOBODY = KeyRecord(public_id="", tenant="", name="", digest=os.urandom(32), created_at_s=0.0)
_NO_SECRET = "0" * SECRET_CHARS  # of what is no key: hashing it takes as long as hashing one


def _refusal(message: str) -> RequestError:
    return RequestError(message, status=401, code="invalid_api_key", should_retry=False)


class KeyRevoked(RequestError):
    """The key was revoked while its request was under way."""

    def __init__(self) -> None:
        super().__init__("this API key has been revoked", status=401, code="invalid_api_key", should_retry=False)


def credential(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The key as a bearer: OpenAI's clients send it so, Anthropic's in `x-api-key`."""
    header = headers.get(b"authorization")
    if header is None:
        key = headers.get(b"x-api-key")
        return None if key is None else b"Bearer " + key
    return header


def authenticate(header: bytes | None, keys: KeyStore) -> KeyRecord:
    """The key's record; unknown, wrong and revoked keys are refused alike."""
    if not header:
        raise _refusal("no API key: send `Authorization: Bearer sp-...` (`spillway keys create` makes one)")
    scheme, _, sent = header.partition(b" ")
    text = sent.strip().decode("latin-1")
    parts = claimed_parts(text) if scheme.lower() == b"bearer" else None
    public_id, secret = parts if parts is not None else ("", _NO_SECRET)
    record = keys.lookup(public_id) or _NOBODY  # so that an unknown id takes every step that a known one takes
    # check digits come last: what fails by them takes every step that what fails by its secret takes
    if not key_matches(record, keys.pepper_of(record), secret) or record is _NOBODY or is_mistyped(text):
        raise _refusal("this API key is not valid (`spillway keys list` shows which are)")
    return record


class Doorman:
    """Remembers which keys were good, for the HMAC is a twentieth of a request; never the keys, only a keyed digest.

    A remembered key is good while the store holds the very record that it was checked against: whatever changes about
    a key makes a new record.
    """

    __slots__ = ("_keys", "_known", "_salt")

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._salt = os.urandom(32)
        self._known: dict[bytes, KeyRecord] = {}

    def admit(self, header: bytes | None) -> KeyRecord:
        """The key's record, as `authenticate` has it."""
        if not header:
            return authenticate(header, self._keys)
        digest = blake2b(header, key=self._salt, digest_size=16).digest()
        record = self._known.get(digest)
        if record is not None and self._keys.lookup(record.public_id) is record:
            return record
        record = authenticate(header, self._keys)
        if len(self._known) >= REMEMBERED_KEYS:
            self._known.clear()
        self._known[digest] = record
        return record
