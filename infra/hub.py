"""The Hugging Face hub: files of a commit, and their content, checked while it comes.

`HF_ENDPOINT` names another hub with the same API, as for huggingface_hub; `HF_TOKEN` a token for gated repositories.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.error import HTTPError
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import Request, urlopen

from infra.weights import FileSum, HubFile, Wanted, WeightsRefused, parse_tree

ENDPOINT = "https://huggingface.co"
DEADLINE_S = 30.0  # without a byte
_PIECE_BYTES = 1 << 20
_MOST_PAGES = 100
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="next"')
_WHY = {
    401: "it is gated or private, or does not exist: set HF_TOKEN to a token that may read it",
    403: "the token has not accepted its licence: do so on the page of the repository",
    404: "there is no such repository or commit",
}


class Hub:
    """One hub, asked with one token or none. The token goes to the hub alone, never to where it sends on."""

    def __init__(self, endpoint: str = ENDPOINT, token: str | None = None) -> None:
        if urlsplit(endpoint).scheme not in {"http", "https"}:
            raise WeightsRefused(f"HF_ENDPOINT must be an address such as {ENDPOINT}, not {endpoint!r}")
        self._endpoint, self._token = endpoint.rstrip("/"), token

    def files(self, repository: str, revision: str) -> tuple[HubFile, ...]:
        """All files of the commit; WeightsRefused where they cannot be had."""
        found: list[HubFile] = []
        url = f"{self._endpoint}/api/models/{repository}/tree/{revision}?recursive=true"
        for _ in range(_MOST_PAGES):
            with self._open(url, f"{repository}@{revision}") as answer:
                found += parse_tree(_json(answer.read(), url))
                following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                return tuple(found)
            url = urljoin(url, following[1])
            if urlsplit(url)[:2] != urlsplit(self._endpoint)[:2]:
                raise WeightsRefused(f"the hub sends on to another host for the list of {repository}")
        raise WeightsRefused(f"{repository}@{revision} has more than {_MOST_PAGES} pages of files")

    def fetch(self, wanted: Wanted, file: HubFile, into: Path) -> FileSum:
        """The file is `into` and is what the commit names; WeightsRefused otherwise: what came is not to be used."""
        source = f"{wanted.repository}@{wanted.revision}: {file.name}"
        url = f"{self._endpoint}/{wanted.repository}/resolve/{wanted.revision}/{quote(file.name)}"
        sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)
        size = 0
        with self._open(url, source) as answer, into.open("wb") as target:
            for piece in _pieces(answer, file.name):
                size += len(piece)
                if size > file.size_bytes:
                    break
                sha256.update(piece)
                if file.sha256 is None:
                    blob.update(piece)
                target.write(piece)
        got, named = (sha256.hexdigest(), file.sha256) if file.sha256 else (blob.hexdigest(), file.git_oid)
        if size != file.size_bytes or got != named:
            raise WeightsRefused(
                f"{source} came with {size:,} bytes and sum {got}; "
                f"the commit names {file.size_bytes:,} bytes and {named}"
            )
        return FileSum(size_bytes=size, sha256=sha256.hexdigest())

    def _open(self, url: str, what: str) -> closing[HTTPResponse]:
        request = Request(url)  # noqa: S310  # the scheme was looked at
        if self._token:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            return closing(cast("HTTPResponse", urlopen(request, timeout=DEADLINE_S)))  # noqa: S310
        except HTTPError as error:
            with error:
                why = _WHY.get(error.code, f"the hub answered {error.code} {error.reason}")
            raise WeightsRefused(f"{what}: {why}") from error
        except OSError as error:
            raise WeightsRefused(f"{what}: {self._endpoint} does not answer: {error}") from error


def _pieces(answer: HTTPResponse, name: str) -> Iterator[bytes]:
    try:
        while piece := answer.read(_PIECE_BYTES):
            yield piece
    except (OSError, HTTPException) as error:
        raise WeightsRefused(f"{name} was cut: {error}") from error


def _json(content: bytes, url: str) -> object:
    try:
        return json.loads(content)
    except ValueError as error:
        raise WeightsRefused(f"{url} answered no JSON: {error}") from error


def hub_of(environ: Mapping[str, str]) -> Hub:
    """The hub that the environment names."""
    return Hub(environ.get("HF_ENDPOINT") or ENDPOINT, environ.get("HF_TOKEN"))
