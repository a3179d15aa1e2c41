"""Keeps the prefix caches of engines apart by tenant: a shared one would tell by its timing what others have sent."""

from __future__ import annotations

from hashlib import blake2b

SALTS_KEPT = 4096


class CacheSalts:
    """vLLM's `cache_salt` per tenant; nobody without the pepper of the keys can guess one."""

    def __init__(self, pepper: bytes) -> None:
        self._key = blake2b(pepper, digest_size=32, person=b"spillway-salt").digest()
        self._fields: dict[str, bytes] = {}

    def field(self, tenant: str) -> bytes:
        """The JSON of the field with the comma behind it; the same in all gateways with one pepper."""
        found = self._fields.get(tenant)
        if found is None:
            if len(self._fields) >= SALTS_KEPT:
                self._fields.clear()
            salt = blake2b(tenant.encode(), key=self._key, digest_size=32).hexdigest()
            found = self._fields[tenant] = b'"cache_salt":"%s",' % salt.encode()
        return found

    def salted(self, body: bytes, tenant: str) -> bytes:
        """The body, a JSON object that is not empty and has no such field, with the field in front."""
        start = body.index(b"{") + 1
        return body[:start] + self.field(tenant) + body[start:]
