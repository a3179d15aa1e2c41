"""The objects of one kind as the API has last said them. No I/O: `kubernetes_watch` feeds it.

Words may come twice, late, out of order, or never; a list may be an old one. What holds: an object is never replaced by
an older state of itself, one that is gone does not come back by old words, and after a list it is as that list says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from controller.adapters.kubernetes_kinds import Json

POD_SPEC = ("nodeName",)
POD_STATUS = ("phase", "reason", "message", "podIP", "conditions", "containerStatuses", "initContainerStatuses")
POD_META = (
    *("name", "namespace", "uid", "resourceVersion", "labels", "annotations"),
    *("creationTimestamp", "deletionTimestamp", "ownerReferences"),
)

Slim = Callable[[Json], Json]


def without_managed_fields(found: Json) -> Json:
    """The object without the list of who has set what, which is often the larger part of it."""
    metadata = {name: value for name, value in (found.get("metadata") or {}).items() if name != "managedFields"}
    return {**found, "metadata": metadata}


def slim_pod(found: Json) -> Json:
    """What of a pod is asked for: a tenth of it. Containers, volumes and the like are left out."""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    metadata = found.get("metadata") or {}
    return {
        "metadata": {name: metadata[name] for name in POD_META if name in metadata},
        "spec": {name: spec[name] for name in POD_SPEC if name in spec},
        "status": {name: status[name] for name in POD_STATUS if name in status},
    }


def version_of(found: Mapping[str, object]) -> str:
    """The resourceVersion of an object or list; empty where it has none."""
    metadata = found.get("metadata")
    return str(metadata.get("resourceVersion") or "") if isinstance(metadata, Mapping) else ""


def is_older(one: str, other: str) -> bool:
    """Whether a version is before another; versions that are no numbers cannot be compared, and pass."""
    return one.isdecimal() and other.isdecimal() and int(one) < int(other)


class ObjectStore:
    """One kind's objects by name; `objects` is swapped whole, so a reader may keep it."""

    def __init__(self, slim: Slim = without_managed_fields) -> None:
        self._slim = slim
        self._gone: dict[str, str] = {}  # the versions at which objects went, until a list is younger
        self._listed = ""
        self.objects: Mapping[str, Json] = {}
        self.version = ""  # from here on changes are asked for

    def replace(self, items: Iterable[Json], version: str) -> bool:
        """Take a whole list; False, and nothing taken, where the list is older than what is known."""
        if is_older(version, self.version):
            return False
        known = self.objects if self.version else {}
        fresh = {}
        for item in items:
            name, at = str(item["metadata"]["name"]), version_of(item)
            held = known.get(name, {})
            fresh[name] = held if at and held and not is_older(version_of(held), at) else self._slim(item)
        self._listed = self.version = version
        self._gone = {name: at for name, at in self._gone.items() if is_older(version, at)}
        self.objects = fresh
        return True

    def forget_versions(self) -> None:
        """Afterwards the next list is taken whatever its age: the history itself has gone back, as after a restore."""
        self._listed = self.version = ""
        self._gone.clear()

    def learn(self, item: Json) -> bool:
        """Take what a write of ours has answered, ahead of its event; whether it was news."""
        name = str(item["metadata"]["name"])
        if name not in self.objects or not is_older(version_of(self.objects[name]), version_of(item)):
            return False
        self.objects = {**self.objects, name: self._slim(item)}
        return True

    def apply(self, change: str, item: Json) -> bool:
        """Take one event of a watch; whether it changed anything."""
        version = version_of(item)
        if not is_older(version, self.version):
            self.version = version
        if change == "BOOKMARK":
            return False
        name = str(item["metadata"]["name"])
        known = version_of(self.objects.get(name, {})) or self._gone.get(name, "") or self._listed
        if is_older(version, known) or (change != "DELETED" and version != "" and version == known):
            return False
        objects = dict(self.objects)
        if change == "DELETED":
            self._gone[name] = version
            was = objects.pop(name, None) is not None
            self.objects = objects
            return was
        self._gone.pop(name, None)
        objects[name] = self._slim(item)
        self.objects = objects
        return True
