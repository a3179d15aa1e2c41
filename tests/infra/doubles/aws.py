"""A double of the AWS provider: refuses what AWS would refuse, in its words, and keeps what it made in a file.

Started as `python -m tests.infra.doubles.aws FOLDER`; prints the port at which the engine finds it.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tests.infra.doubles import aws_kinds as k
from tests.infra.doubles import aws_limits, schema
from tests.infra.doubles.aws_deletes import after_delete, delete_refusals, owned_groups
from tests.infra.doubles.aws_functions import call
from tests.infra.doubles.aws_outputs import arn, computed, hexadecimal
from tests.infra.doubles.aws_rules import RULES, World, nodes_fail
from tests.infra.doubles.aws_services import KINDS
from tests.infra.doubles.aws_words import MISSING
from tests.infra.doubles.paths import first_at, values_at
from tests.infra.doubles.store import Store, Thing
from tests.infra.doubles.wire import UNKNOWN, Difference, Failure, Found, HalfMade, Refused, Resource, Values, serve

FAILED = "CREATE_FAILED"


def _place(token: str) -> str:
    return token.partition(":")[2]


class Aws:
    """One account in one region."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder)
        self._region = "us-east-1"

    def configure(self, values: Values) -> None:
        """The provider's own settings; only the region matters."""
        self._region = values.get("region", self._region)

    def check(self, resource: Resource, inputs: Values, old: Values) -> tuple[Values, list[Failure]]:
        """Names, types and required inputs of the SDK, values of AWS's models, and a name where none is given."""
        kind = KINDS.get(_place(resource.token))
        if kind is None:
            return inputs, [Failure("", f"the double of AWS knows no {resource.token}")]
        named = dict(inputs)
        if kind.named and kind.named not in inputs and f"{kind.named}Prefix" not in inputs:
            named[kind.named] = old.get(kind.named) or f"{resource.name}-{secrets.token_hex(4)[:7]}"
        failures, seen = schema.check(resource.token, named)
        self._store.note_checked(resource.token, seen)
        failures += aws_limits.check(resource.token, named)
        return named, failures

    def diff(self, resource: Resource, old: Values, new: Values, state: Values) -> Difference:
        """What differs, and what of it AWS can change only by a new object."""
        kind = KINDS[_place(resource.token)]
        changed = tuple(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))
        replaces = tuple(path for path in kind.replaces if list(values_at(old, path)) != list(values_at(new, path)))
        if state.get("status") == FAILED:
            changed, replaces = (*changed, "status"), (*replaces, "status")
        same_name = kind.named is not None and old.get(kind.named) == new.get(kind.named)
        by_inputs = kind.named is None and not kind.identity.endswith("-")
        return Difference(changed, tuple(path.partition(".")[0] for path in replaces), by_inputs or same_name)

    def create(self, resource: Resource, inputs: Values, *, preview: bool) -> tuple[str, Values]:
        """A new object, or AWS's words against it."""
        if preview:
            unknown = dict.fromkeys(schema.outputs_of(resource.token), UNKNOWN)
            return "", {**unknown, **inputs}
        place = _place(resource.token)
        with self._store.faulty("create", place, resource.name) as fault:
            if fault and fault.error and not fault.made:
                raise Refused(fault.error)
            with self._store.lock:
                thing = self._made(place, resource.name, inputs)
                why = fault.error if fault else nodes_fail(self._world(), inputs) if place == k.NODES else None
                if why:
                    thing.outputs["status"] = FAILED
                self._store.put(thing, "create")
        if why:
            raise HalfMade(why, thing.identity, inputs, thing.outputs)
        return thing.identity, thing.outputs

    def _world(self, without: str = "") -> World:
        return World(self._store, self._region, without=without)

    def _made(self, place: str, name: str, inputs: Values) -> Thing:
        kind = KINDS[place]
        self._refuse_if([*self._missing(kind, inputs), *self._taken(place, kind, inputs), *self._rules(place, inputs)])
        full = self._named(kind, inputs)
        identity = self._identity(place, kind, full)
        outputs = {
            "arn": arn(kind, identity, full, self._region),
            "tagsAll": inputs.get("tags", {}),
            "region": self._region,
            **full,
            **computed(self._store, place, identity, full, self._region),
        }
        return Thing(identity, place, name, inputs, outputs)

    def _named(self, kind: k.Kind, inputs: Values) -> Values:
        prefix = inputs.get(f"{kind.named}Prefix")
        if prefix is None or kind.named is None or kind.named in inputs:
            return inputs
        return {**inputs, kind.named: prefix + hexadecimal(prefix, str(self._store.next(prefix)))}

    def _rules(self, place: str, inputs: Values, without: str = "") -> Iterator[str]:
        if place in RULES:
            yield from RULES[place](self._world(without), inputs)

    def _identity(self, place: str, kind: k.Kind, inputs: Values) -> str:
        if kind.identity.endswith("-"):
            digits = hexadecimal(place, str(self._store.next(place)))
            is_uuid = kind.identity == "uuid-"
            return f"{digits[:8]}-0000-4000-8000-{digits[5:]}" if is_uuid else kind.identity + digits
        if "{" not in kind.identity:
            return str(inputs[kind.identity])
        text = kind.identity.replace("{tag.key}", str(first_at(inputs, "tag.key")))
        return text.format(**inputs)

    def _missing(self, kind: k.Kind, inputs: Values) -> Iterator[str]:
        for ref in kind.refs:
            for key in values_at(inputs, ref.path):
                if ref.to == k.POLICY and str(key).startswith("arn:aws:iam::aws:"):
                    continue  # AWS's own
                if ref.to == k.GROUP and key in owned_groups(self._store):
                    continue
                if not any(_is_meant(thing, ref, key) for thing in self._store.of(ref.to)):
                    yield MISSING.get(ref.to, "ResourceNotFoundException: no {to} {key}").format(key=key, to=ref.to)

    def _taken(self, place: str, kind: k.Kind, inputs: Values) -> Iterator[str]:
        what = place.rpartition(":")[2]
        scope = {k.GROUP: "vpcId", k.ROLE_POLICY: "role"}.get(place, "clusterName")
        for thing in self._store.of(place):
            if kind.named is not None:
                same = all(thing.inputs.get(key) == inputs.get(key) for key in (kind.named, scope))
                if same and inputs.get(kind.named) is not None:
                    yield f"AlreadyExistsException: {what} with name {inputs[kind.named]} already exists."
            elif not kind.identity.endswith("-") and thing.identity == self._identity(place, kind, inputs):
                yield f"ResourceInUseException: {what} {thing.identity} already exists."

    def _refuse_if(self, words: list[str]) -> None:
        if words:
            raise Refused("; ".join(words))

    def read(self, resource: Resource, identity: str, inputs: Values) -> Found:
        """What AWS says of it now."""
        thing = self._store.get(_place(resource.token), identity)
        return Found() if thing is None else Found(identity, thing.outputs, thing.inputs)

    def update(self, resource: Resource, identity: str, inputs: Values, *, preview: bool) -> Values:
        """The object with new inputs; a new version, where it has versions."""
        place = _place(resource.token)
        thing = self._store.get(place, identity)
        if thing is None:
            raise Refused(MISSING.get(place, "ResourceNotFoundException: {key}").format(key=identity))
        outputs = {**thing.outputs, **{key: _joined(thing.outputs.get(key), value) for key, value in inputs.items()}}
        if preview:
            moving = {"latestVersion": UNKNOWN, "defaultVersion": UNKNOWN} if place == k.TEMPLATE else {}
            return {**outputs, **moving}
        with self._store.faulty("update", place, resource.name) as fault:
            if fault and fault.error:
                raise Refused(fault.error)
            with self._store.lock:
                kind = KINDS[place]
                self._refuse_if([*self._missing(kind, inputs), *self._rules(place, inputs, identity)])
                if place == k.TEMPLATE:
                    outputs.update(computed(self._store, place, identity, inputs, self._region))
                outputs["tagsAll"] = inputs.get("tags", {})
                self._store.put(Thing(identity, place, thing.name, inputs, outputs), "update")
        return outputs

    def delete(self, resource: Resource, identity: str) -> None:
        """It is gone; refused while others need it."""
        place = _place(resource.token)
        with self._store.faulty("delete", place, resource.name) as fault:
            if fault and fault.error:
                raise Refused(fault.error)
            with self._store.lock:
                thing = self._store.get(place, identity)
                if thing is not None:
                    self._refuse_if(list(delete_refusals(self._store, thing)))
                    self._store.remove(thing)
                    after_delete(self._store, thing)

    def invoke(self, token: str, values: Values) -> Values:
        """A data source."""
        return call(self._store, self._region, _place(token), values)


def _is_meant(thing: Thing, ref: k.Ref, key: object) -> bool:
    return key == thing.identity or key == (thing.identity if ref.by == "id" else thing.outputs.get(ref.by))


def _joined(old: object, new: object) -> object:
    return {**old, **new} if isinstance(old, dict) and isinstance(new, dict) else new


if __name__ == "__main__":
    serve(Aws(Path(sys.argv[1])), version("pulumi-aws"))
