"""What content parts may go where: an own engine fetches nothing but what an operator's list of hosts allows.

The gateway fetches nothing itself. Providers fetch from their own networks; own engines would from inside ours, so they
get data in the request, or addresses of hosts in `gateway.media_hosts`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from controller.gateway.decode import NotTranslatable
from controller.gateway.json_body import Document

_TEXT = frozenset({"text", "refusal"})
_OWN = _TEXT | {"image_url", "input_audio"}
_OPENAI = _OWN | {"file"}


def check_parts(document: Document, kinds: frozenset[str], media_hosts: frozenset[str], *, is_own: bool) -> None:
    """NotTranslatable when a content part may not go to this kind of target; `kinds`: those in the messages."""
    unknown = kinds - (_OWN if is_own else _OPENAI)
    if unknown:
        raise NotTranslatable(f"a content part of type {min(unknown)[:40]}")
    if is_own and "image_url" in kinds:
        for url in _urls(document):
            if not url.startswith("data:") and not _is_listed(url, media_hosts):
                raise NotTranslatable("an image from a host that is not in gateway.media_hosts")


def _urls(document: Document) -> list[str]:
    urls: list[str] = []
    for message in document["messages"]:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "image_url":
                image = part.get("image_url")
                url = image.get("url") if isinstance(image, dict) else image
                urls.append(url if isinstance(url, str) else "")
    return urls


def _is_listed(url: str, media_hosts: frozenset[str]) -> bool:
    """By the host alone, as it will be read by the engine: what is written unusually is not on any list."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = url.isascii() and not set(url) & set("\\ \t\r\n")
    return plain and parts.scheme in ("http", "https") and parts.username is None and parts.hostname in media_hosts
