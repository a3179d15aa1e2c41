"""What exists in the cloud of a double: objects and the history of calls, in a file that outlives the engine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FAULTS, FORGOTTEN, AMENDED = "faults.json", "forgotten", "amended"


@dataclass(frozen=True, slots=True)
class Thing:
    """One object: its type, its name in the program, what it was asked to be and what it became."""

    identity: str
    token: str
    name: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong, for calls whose type ends with `token` and whose name contains `name`.

    `error`: the words; `made`: the object stands all the same (a node group that failed). `delay_s`: it takes so long.
    `hold`: the call has its effect, or not yet, and never ends ("after", "before"). `times`: for so many calls;
    `skip`: so many pass before.
    """

    verb: str = "create"
    token: str = ""
    name: str = ""
    error: str | None = None
    made: bool = False
    delay_s: float = 0.0
    hold: str | None = None
    times: int = 1
    skip: int = 0


def _key(token: str, identity: str) -> str:
    return f"{token}|{identity}"


class Store:
    """Objects by type and identity. Every change is on disk before the call that made it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "objects.json"
        self.lock = threading.RLock()
        said = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        self._things = {key: Thing(**value) for key, value in said.get("things", {}).items()}
        self._history: list[str] = said.get("history", [])
        self._checked: dict[str, list[str]] = said.get("checked", {})
        self._counters: dict[str, int] = said.get("counters", {})

    def next(self, kind: str) -> int:
        """1, 2, 3 ... for that kind."""
        with self.lock:
            self._counters[kind] = self._counters.get(kind, 0) + 1
            return self._counters[kind]

    def put(self, thing: Thing, verb: str) -> None:
        """It stands, after `verb`."""
        with self.lock:
            self._things[_key(thing.token, thing.identity)] = thing
            self._history.append(f"{verb} {thing.token} {thing.name}")
            self._save()

    def get(self, token: str, identity: str) -> Thing | None:
        """The object of that type."""
        with self.lock:
            forgotten, amended = self._heard(FORGOTTEN), self._heard(AMENDED)
            for key in forgotten:
                self._things.pop(key, None)
            for said in amended:
                thing = Thing(**json.loads(said))
                self._things[_key(thing.token, thing.identity)] = thing
            if forgotten or amended:
                self._save()
            return self._things.get(_key(token, identity))

    def _heard(self, what: str) -> list[str]:
        """What was done by hand since the last call."""
        file = self.folder / what
        if not file.exists():
            return []
        lines = file.read_text(encoding="utf-8").splitlines()
        file.unlink()
        return lines

    def remove(self, thing: Thing) -> None:
        """It is gone."""
        with self.lock:
            del self._things[_key(thing.token, thing.identity)]
            self._history.append(f"delete {thing.token} {thing.name}")
            self._save()

    def note_checked(self, token: str, paths: set[str]) -> None:
        """These inputs of a resource of that type have been held against the schema."""
        with self.lock:
            self._checked[token] = sorted(paths | set(self._checked.get(token, [])))
            self._save()

    def of(self, *tokens: str) -> Iterator[Thing]:
        """All objects whose type ends so, as `eks/cluster:Cluster`."""
        yield from [thing for thing in self._things.values() if thing.token.endswith(tokens)]

    def _save(self) -> None:
        said = {
            "things": {key: asdict(thing) for key, thing in self._things.items()},
            "history": self._history,
            "checked": self._checked,
            "counters": self._counters,
        }
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(said), encoding="utf-8")
        part.replace(self._file)

    @contextmanager
    def faulty(self, verb: str, token: str, name: str) -> Iterator[Fault | None]:
        """Runs what the call does, with the fault that is due for it, if any, around it."""
        fault = self._due(verb, token, name)
        if fault is not None:
            time.sleep(fault.delay_s)
            self._hold_if(fault, "before")
        yield fault
        if fault is not None:
            self._hold_if(fault, "after")

    def _hold_if(self, fault: Fault, when: str) -> None:
        if fault.hold == when:
            (self.folder / "held").touch()
            time.sleep(600)  # until the one who waits for it is killed

    def _due(self, verb: str, token: str, name: str) -> Fault | None:
        file = self.folder / FAULTS
        with self.lock:
            if not file.exists():
                return None
            faults = [Fault(**one) for one in json.loads(file.read_text(encoding="utf-8"))]
            due = None
            left = []
            for fault in faults:
                meant = due is None and fault.verb == verb and token.endswith(fault.token) and fault.name in name
                if not meant:
                    left.append(fault)
                elif fault.skip > 0:
                    left.append(Fault(**{**asdict(fault), "skip": fault.skip - 1}))
                else:
                    due = fault
                    if fault.times > 1:
                        left.append(Fault(**{**asdict(fault), "times": fault.times - 1}))
            file.write_text(json.dumps([asdict(one) for one in left]), encoding="utf-8")
            return due


@dataclass(frozen=True, slots=True)
class Cloud:
    """What a test sees of a double's store, from outside."""

    folder: Path

    def _said(self) -> Mapping[str, Any]:
        file = self.folder / "objects.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}  # type: ignore[no-any-return]

    @property
    def things(self) -> list[Thing]:
        """Every object that exists."""
        return [Thing(**value) for value in self._said().get("things", {}).values()]

    @property
    def history(self) -> list[str]:
        """`create TYPE NAME` and so on, in the order in which it happened."""
        return list(self._said().get("history", []))

    @property
    def checked(self) -> dict[str, list[str]]:
        """Inputs that were held against the schema, by type."""
        return dict(self._said().get("checked", {}))

    def of(self, token: str) -> list[Thing]:
        """The objects whose type ends so."""
        return [thing for thing in self.things if thing.token.endswith(token)]

    def forget(self, thing: Thing) -> None:
        """Somebody deletes it by hand; the double hears of it with its next call."""
        with (self.folder / FORGOTTEN).open("a", encoding="utf-8") as file:
            file.write(_key(thing.token, thing.identity) + "\n")

    def amend(self, thing: Thing) -> None:
        """Somebody makes it so by hand; the double hears of it with its next call."""
        with (self.folder / AMENDED).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(thing)) + "\n")

    def plan(self, *faults: Fault) -> None:
        """From now on these go wrong, and nothing else."""
        (self.folder / "held").unlink(missing_ok=True)
        (self.folder / FAULTS).write_text(json.dumps([asdict(one) for one in faults]), encoding="utf-8")

    @property
    def is_holding(self) -> bool:
        """Whether a call is held by a fault."""
        return (self.folder / "held").exists()
