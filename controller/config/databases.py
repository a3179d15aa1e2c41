"""Where keys and ledger are kept: a URL in the environment, as it holds a password, else SQLite in the state folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from controller.catalogue.document import Document
from controller.catalogue.refusals import ENVIRONMENT, problem_at
from controller.config.schema import Config
from controller.core.errors import Problem

_KEY = "database_url_env"
_URL = re.compile(r"postgres(ql)?(\+psycopg)?://[^\s]+")


def database_variable(config: Config, environ: Mapping[str, str]) -> str | None:
    """The variable that holds the URL of the database; None when none does."""
    return config.database_url_env if environ.get(config.database_url_env) else None


def database_problems(config: Config, document: Document, environ: Mapping[str, str]) -> Iterator[Problem]:
    """A variable that the file names and the environment lacks, and a URL of another kind. It is never shown."""
    variable = config.database_url_env
    url = environ.get(variable, "")
    if not url and _KEY in config.model_fields_set:
        message = f"the environment has no {variable}: every gateway would keep budgets of its own"
        yield problem_at(document, (_KEY,), message, f"a URL in {variable}, or no {_KEY}", variable)
    if url and not _URL.fullmatch(url):
        yield problem_at(ENVIRONMENT, (variable,), "is no URL of PostgreSQL", "postgresql://user:password@host/name")
