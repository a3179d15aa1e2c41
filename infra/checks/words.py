"""How problems of a stack are worded: keys as they are written in `Pulumi.<stack>.yaml`."""

from __future__ import annotations

from collections.abc import Iterable

from controller.catalogue.document import Document, Place, Spelling, key_words
from controller.catalogue.refusals import did_you_mean, problem_at
from controller.core.errors import Problem

NAMESPACE = "spillway"


class StackSpelling(Spelling):
    """Keys carry Pulumi's namespace: `spillway:gpu_pools.a100.instance_type`."""

    def key(self, place: Place) -> str:
        """The name of the key at `place`."""
        return f"{NAMESPACE}:{key_words(place)}" if place else NAMESPACE

    def words(self, text: str) -> str:
        """The schema that the general words point to is another one."""
        return text.replace("`spillway config schema`", "infra/README.md")


NOWHERE = Document(file=None, has_lines=False, spelling=StackSpelling())


def one_of(words: Iterable[str]) -> str:
    """Allowed values in words; says so when there are none."""
    return f"one of {listed}" if (listed := ", ".join(words)) else "nothing here"


def unknown(document: Document, place: Place, what: str, value: str, known: Iterable[str]) -> Problem:
    """A name that is none of the known ones, with a hint where one is near."""
    names = tuple(known)
    return problem_at(document, place, f"no such {what}{did_you_mean(value, names)}", one_of(names), value)
