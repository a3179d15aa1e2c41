"""What is known of a pool beside its view, and how it is said to people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.catalogue.refusals import ENVIRONMENT
from controller.core.errors import Problem
from controller.core.pools import Pool
from controller.modelpool.pins import PinWord

MESSAGE_CHARS = 1024
_PROBLEM_CHARS = 900


class Obstacle(StrEnum):
    """What keeps the controller from doing what it has decided."""

    TARGET_NOT_FOUND = "TargetNotFound"
    FORBIDDEN = "Forbidden"
    QUOTA_EXCEEDED = "QuotaExceeded"
    REFUSED = "Refused"  # by admission, or as the API holds it for wrong
    FOUGHT_OVER = "FoughtOver"


_MENDS = {
    Obstacle.TARGET_NOT_FOUND: "Create the Deployment, or correct `spec.scaleTargetRef.name`",
    Obstacle.FORBIDDEN: "Give the controller's service account back what the chart of helm/ops gives it",
    Obstacle.QUOTA_EXCEEDED: "Raise the ResourceQuota of this namespace, or lower `spec.replicas.max`",
    Obstacle.REFUSED: "See the message of the API, and change what it refuses",
    Obstacle.FOUGHT_OVER: "Delete the HorizontalPodAutoscaler or whatever else scales this Deployment",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What the platform could not do for a pool. `message` in words, the API's where it gave any."""

    obstacle: Obstacle
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """What is known of a pool beside its view. `pool` None: its spec is refused, and nothing of it goes on.

    `is_kept`: the spec is refused, and the pool goes on as an earlier generation had it.
    """

    name: str
    generation: int
    pool: Pool | None
    problems: tuple[Problem, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    pin: PinWord | None = None
    selector: str = ""
    is_kept: bool = False

    @property
    def is_left_out(self) -> bool:
        """Whether nothing of it goes on."""
        return bool(self.errors) and not self.is_kept

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Why the spec is refused."""
        return tuple(one for one in self.problems if one.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What the pool goes on with and somebody should mend, but for its chain."""
        return tuple(one for one in self.problems if one.severity == "warning" and not _is_of_chain(one))

    @property
    def chain_warnings(self) -> tuple[Problem, ...]:
        """Links of the chain that cannot be used as they are."""
        return tuple(one for one in self.problems if one.severity == "warning" and _is_of_chain(one))


def _is_of_chain(problem: Problem) -> bool:
    """Whether it is about where the pool spills: a link, or the key of a link's provider."""
    return problem.key.startswith("spec.spill") or problem.file == ENVIRONMENT.file


def sentence(problem: Problem) -> str:
    """A problem as a sentence with the words to mend it."""
    value = f" (got '{problem.value}')" if problem.value is not None else ""
    return shortened(f"`{problem.key}` {problem.message}{value}; allowed: {problem.allowed}.", _PROBLEM_CHARS)


def shortened(words: str, chars: int) -> str:
    """The words, cut where there is no room for more."""
    return words if len(words) <= chars else words[: chars - 3] + "..."


def refusal(facts: PoolFacts) -> str:
    """All errors as sentences, as far as there is room."""
    said = [sentence(one) for one in facts.errors]
    end = " The pool goes on as it was before." if facts.is_kept else ""
    words = said[0]
    for index, more in enumerate(said[1:], start=1):
        if len(words) + len(more) > MESSAGE_CHARS - 80:
            words += f" And {len(said) - index} more."
            break
        words += f" {more}"
    return words + end


def trouble_words(trouble: Trouble) -> str:
    """What could not be done, and what mends it, unless the message says so."""
    words = shortened(trouble.message.rstrip(". "), MESSAGE_CHARS - 200) + "."
    return words if "`spec." in words else f"{words} {_MENDS[trouble.obstacle]}."
