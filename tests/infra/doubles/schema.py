"""The inputs of a resource as the installed SDK declares them: names, types, what is required, at every depth."""

from __future__ import annotations

import collections.abc
import enum
import importlib
import inspect
import re
import types
import typing
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pulumi
from pulumi import _types

from tests.infra.doubles.wire import Failure, Unknown, Value, Values

PLAIN: dict[type, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


class NoSuchResource(Exception):
    """The SDK has no resource of that type."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One input."""

    annotation: Any
    is_required: bool


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@cache
def resource_class(token: str) -> type:
    """The class of the SDK for `aws:eks/nodeGroup:NodeGroup` or `kubernetes:apps/v1:Deployment`."""
    package, place, name = token.split(":")
    if package == "kubernetes":
        group, _, version = place.partition("/")
        module = f"pulumi_kubernetes.{group.split('.')[0]}.{version}.{name}"
    else:
        folder, _, file = place.partition("/")
        module = f"pulumi_{package}.{folder}.{_snake(file)}"
    try:
        with warnings.catch_warnings():  # the SDK's packages warn, as they load, of classes that nobody asked for
            warnings.simplefilter("ignore", DeprecationWarning)
            return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError):
        raise NoSuchResource(f"{token}: no {name} in {module}") from None


@cache
def inputs_of(token: str) -> Mapping[str, Declared]:
    """By the names that the engine uses."""
    made = resource_class(token)
    module = inspect.getmodule(made)
    arguments = getattr(module, f"{made.__name__}InitArgs", None) or getattr(module, f"{made.__name__}Args")
    return _declared(arguments)


@cache
def outputs_of(token: str) -> frozenset[str]:
    """Names of everything that a resource of that type says of itself."""
    return frozenset(_types.resource_types(resource_class(token)))


@cache
def _declared(arguments: type) -> Mapping[str, Declared]:
    names = _types.input_type_py_to_pulumi_names(arguments)
    annotations = _types.input_type_types(arguments)
    parameters = inspect.signature(arguments.__init__).parameters  # type: ignore[misc]
    return {
        name: Declared(annotations[name], parameters[python].default is inspect.Parameter.empty)
        for python, name in names.items()
    }


def check(token: str, values: Values) -> tuple[list[Failure], set[str]]:
    """What the SDK's types refuse, and the paths of all inputs that were held against them (without indices)."""
    seen: set[str] = set()
    return list(_mapping_faults(inputs_of(token), values, "", seen)), seen


def _mapping_faults(
    declared: Mapping[str, Declared], values: Mapping[str, Value], path: str, seen: set[str]
) -> Iterator[Failure]:
    for name, value in values.items():
        place = f"{path}.{name}" if path else name
        if name not in declared:
            yield Failure(place, f"unknown property; known: {', '.join(sorted(declared))}")
            continue
        seen.add(re.sub(r"\[\d+\]", "", place))
        yield from _faults(declared[name].annotation, value, place, seen)
    for name, one in declared.items():
        if one.is_required and name not in values:
            yield Failure(f"{path}.{name}" if path else name, "required property is missing")


def _faults(annotation: Any, value: Value, path: str, seen: set[str]) -> Iterator[Failure]:
    if isinstance(value, Unknown):
        return
    tries = []
    for one in _alternatives(annotation):
        found = list(_faults_of_one(one, value, path, seen))
        if not found:
            return
        tries.append(found)
    yield from min(tries, key=len, default=[])


def _faults_of_one(annotation: Any, value: Value, path: str, seen: set[str]) -> Iterator[Failure]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any or annotation is object:
        return
    if origin is typing.Literal:
        if value not in arguments:
            yield Failure(path, f"{value!r} is not one of {', '.join(map(repr, arguments))}")
    elif origin in (collections.abc.Sequence, list):
        if not isinstance(value, list):
            yield Failure(path, f"{value!r} is not a list")
            return
        for index, one in enumerate(value):
            yield from _faults(arguments[0], one, f"{path}[{index}]", seen)
    elif origin in (collections.abc.Mapping, dict):
        if not isinstance(value, Mapping):
            yield Failure(path, f"{value!r} is not a mapping")
            return
        for key, one in value.items():
            yield from _faults(arguments[1], one, f"{path}.{key}", set())  # keys of a mapping are no inputs
    else:
        yield from _faults_of_class(annotation, value, path, seen)


def _faults_of_class(annotation: Any, value: Value, path: str, seen: set[str]) -> Iterator[Failure]:
    if annotation in PLAIN:
        if not isinstance(value, PLAIN[annotation]) or (isinstance(value, bool) and annotation is not bool):
            yield Failure(path, f"{value!r} is not of type {annotation.__name__}")
    elif inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        allowed = [member.value for member in annotation]
        if value not in allowed:
            yield Failure(path, f"{value!r} is not one of {', '.join(map(repr, allowed))}")
    elif _types.is_input_type(annotation):
        if isinstance(value, Mapping):
            yield from _mapping_faults(_declared(annotation), value, path, seen)
        else:
            yield Failure(path, f"{value!r} is not a mapping")
    elif not (inspect.isclass(annotation) and issubclass(annotation, pulumi.Asset | pulumi.Archive)):
        yield Failure(path, f"the double knows no type {annotation!r}")


def _alternatives(annotation: Any) -> Iterator[Any]:
    """What a value may be, without the promises and outputs that stand for it in a program."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for one in typing.get_args(annotation):
            if one is not type(None) and typing.get_origin(one) not in (pulumi.Output, collections.abc.Awaitable):
                yield from _alternatives(one)
    elif annotation is not pulumi.Output:
        yield annotation
