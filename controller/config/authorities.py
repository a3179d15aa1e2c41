"""The authorities of providers' own certificates: their files must be there and hold certificates, before a call."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping

from controller.catalogue.document import Document
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from controller.core.models import Provider

ALLOWED = "a readable file with the authority's certificates, PEM"


def authority_problems(providers: Mapping[str, Provider], document: Document) -> Iterator[Problem]:
    """Each `ca_file` that cannot be used, and why."""
    for name, provider in providers.items():
        if provider.ca_file is None:
            continue
        place = ("providers", name, "ca_file")
        if not provider.base_url.startswith("https://"):
            yield problem_at(document, place, "needs an https:// base_url", ALLOWED, provider.ca_file)
            continue
        why = _unusable(provider.ca_file)
        if why is not None:
            yield problem_at(document, place, f"cannot be used: {why}", ALLOWED, provider.ca_file)


def _unusable(path: str) -> str | None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:  # before OSError, which it is one of; its own words say nothing
        return "it holds no certificate"
    except OSError as error:
        return error.strerror or type(error).__name__
    return None
