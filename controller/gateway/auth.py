"""Who is calling: the bearer key, checked in constant time. The tenant comes from the key and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

from controller.core.errors import RequestError
from controller.core.keys import KeyRecord, key_matches, split_key
from controller.gateway.ports import KeyStore


def _refusal(message: str) -> RequestError:
    return RequestError(message, status=401, code="invalid_api_key", should_retry=False)


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
    scheme, _, text = header.partition(b" ")
    parts = split_key(text.strip().decode("latin-1")) if scheme.lower() == b"bearer" else None
    public_id, secret = parts if parts is not None else ("", "")
    record = keys.lookup(public_id)
    if not key_matches(record, keys.pepper, secret) or record is None:
        raise _refusal("this API key is not valid (`spillway keys list` shows which are)")
    return record
