"""The way to AWS: a session with deadlines, and its errors in one form."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

# boto3 has no types of its own: what it answers is checked where it becomes a value of facts.py.
import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from controller.core.errors import SpillwayError
from infra.aws.facts import Unanswered

T = TypeVar("T")
_DEADLINES = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 4, "mode": "standard"})


class AwsError(SpillwayError):
    """AWS refused a call or did not answer it."""

    def __init__(self, call: str, why: str) -> None:
        super().__init__(f"{call}: {why}")
        self.call, self.why = call, why


class Access:
    """Clients of one region with one profile of ~/.aws; the environment's without one."""

    def __init__(self, region: str, profile: str | None = None) -> None:
        with asked("session"):
            self._session: Any = boto3.Session(region_name=region, profile_name=profile)

    def client(self, service: str, region: str | None = None) -> Any:
        """A client of the service; of another region where the service is not in this one."""
        with asked(service):
            return self._session.client(service, region_name=region, config=_DEADLINES)


@contextmanager
def asked(call: str) -> Generator[None]:
    """Whatever goes wrong inside is an AwsError that names the call."""
    try:
        yield
    except ClientError as error:
        answer = cast("dict[str, dict[str, str]]", cast("Any", error).response)
        said = answer.get("Error", {})
        raise AwsError(call, f"{said.get('Code', 'refused')}: {said.get('Message', '')}".strip()) from error
    except BotoCoreError as error:
        raise AwsError(call, str(error)) from error


def answer_or_why(question: Callable[[], T]) -> T | Unanswered:
    """The answer, or why there is none: one right that is missing does not hide everything else."""
    try:
        return question()
    except AwsError as error:
        return Unanswered(call=error.call, why=error.why)
