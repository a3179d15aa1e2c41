"""How the engine speaks to a provider: values on the wire, and the calls, in plain Python.

`Double` answers every call of the engine's protocol; a double of a provider says what they mean. The SDK's own server
lacks `Handshake` and `Attach`, with which the engine greets a provider that is already running.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime import proto
from pulumi.runtime.proto import ResourceProviderServicer, provider_pb2, provider_pb2_grpc, status_pb2

# What stands on the wire for a value that is known only after an update, one for each kind of value.
UNKNOWNS = {
    "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
    "030794c1-ac77-496b-92df-f27374a8bd58",
    "e48ece36-62e2-4504-bad9-02848725956a",
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
}
SIGNATURE = "4dabf18193072939515e22adb298388d"  # of secrets, outputs, assets: objects that are more than a mapping
VALUE_IN = ("1b47061264138c4ac30d75fd1eb44270", "d0e6a833031e9bbcd3f4e8bde6ca49a4")  # secrets, outputs
MESSAGE_BYTES = 64 << 20

Value = Any  # what JSON can say, or UNKNOWN
Values = dict[str, Value]


class Unknown:
    """Known only after an update."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


class Refused(Exception):
    """The provider says no, in these words."""


class HalfMade(Refused):
    """It stands, but is not what was asked for."""

    def __init__(self, words: str, identity: str, inputs: Values, outputs: Values) -> None:
        super().__init__(words)
        self.identity, self.inputs, self.outputs = identity, inputs, outputs


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that Check refuses; `path` as the engine prints it."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What an update would change: paths, and those that only a new object can have."""

    changed: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    delete_first: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """Of which resource a call is."""

    urn: str

    @property
    def token(self) -> str:
        """Its type, without those of the components around it."""
        return self.urn.split("::")[2].split("$")[-1]

    @property
    def name(self) -> str:
        """Its name in the program."""
        return self.urn.split("::", 3)[3]


@dataclass(slots=True)
class Found:
    """What Read says; `identity` empty: it is gone."""

    identity: str = ""
    outputs: Values = field(default_factory=dict)
    inputs: Values = field(default_factory=dict)


class Provider(Protocol):
    """What a double decides; `Refused` where the real one would fail."""

    def configure(self, values: Values) -> None: ...
    def check(self, resource: Resource, inputs: Values, old: Values) -> tuple[Values, list[Failure]]: ...
    def diff(self, resource: Resource, old: Values, new: Values, state: Values) -> Difference: ...
    def create(self, resource: Resource, inputs: Values, *, preview: bool) -> tuple[str, Values]: ...
    def read(self, resource: Resource, identity: str, inputs: Values) -> Found: ...
    def update(self, resource: Resource, identity: str, inputs: Values, *, preview: bool) -> Values: ...
    def delete(self, resource: Resource, identity: str) -> None: ...
    def invoke(self, token: str, values: Values) -> Values: ...


def decode(value: struct_pb2.Value) -> Value:
    """In plain Python; secrets and outputs as what is in them."""
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in UNKNOWNS else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [decode(one) for one in value.list_value.values]
        case "struct_value":
            fields = decoded(value.struct_value)
            return fields.get("value", UNKNOWN) if fields.get(SIGNATURE) in VALUE_IN else fields
        case _:
            return None


def decoded(values: struct_pb2.Struct) -> Values:
    """The fields, without what the engine keeps for itself (`__defaults`) and without nulls."""
    plain = {key: decode(value) for key, value in values.fields.items() if not key.startswith("__")}
    return {key: value for key, value in plain.items() if value is not None}


def encode(value: Value) -> struct_pb2.Value:
    """The reverse of decode."""
    if isinstance(value, Unknown):
        return struct_pb2.Value(string_value="04da6b54-80e4-46f7-96ec-b56ff0331ba9")
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=encoded(value))
    return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[encode(one) for one in value]))


def encoded(values: Mapping[str, Value]) -> struct_pb2.Struct:
    """The reverse of decoded."""
    return struct_pb2.Struct(fields={key: encode(value) for key, value in values.items()})


def without_unknown(values: Values) -> Values:
    """The top-level values that are known as a whole."""
    return {key: value for key, value in values.items() if not has_unknown(value)}


def has_unknown(value: Value) -> bool:
    """Whether it, or anything in it, is known only after an update."""
    if isinstance(value, Mapping):
        return any(map(has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(has_unknown, value))
    return isinstance(value, Unknown)


class Double(ResourceProviderServicer):
    """The engine's calls, handed to a provider; one that refuses ends in the words of the refusal."""

    def __init__(self, provider: Provider, version: str) -> None:
        self._provider, self._version = provider, version

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802 - names of the protocol, here and below
        return proto.ProviderHandshakeResponse()

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return proto.PluginInfo(version=self._version)

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return proto.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return proto.DiffResponse(changes=proto.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._provider.configure(decoded(request.args))
        return proto.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs, failures = self._provider.check(Resource(request.urn), decoded(request.news), decoded(request.olds))
        told = [proto.CheckFailure(property=one.path, reason=one.reason) for one in failures]
        return proto.CheckResponse(inputs=encoded(inputs), failures=told)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = self._provider.diff(
            Resource(request.urn), decoded(request.old_inputs), decoded(request.news), decoded(request.olds)
        )
        return proto.DiffResponse(
            changes=proto.DiffResponse.DIFF_SOME if found.changed else proto.DiffResponse.DIFF_NONE,
            diffs=found.changed,
            replaces=found.replaces,
            deleteBeforeReplace=found.delete_first,
        )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            inputs = decoded(request.properties)
            identity, outputs = self._provider.create(Resource(request.urn), inputs, preview=request.preview)
        except HalfMade as half:
            _say_half_made(context, half)
        except Refused as refusal:
            context.abort(grpc.StatusCode.UNKNOWN, str(refusal))
        return proto.CreateResponse(id=identity, properties=encoded(outputs))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            found = self._provider.read(Resource(request.urn), request.id, decoded(request.inputs))
        except Refused as refusal:
            context.abort(grpc.StatusCode.UNKNOWN, str(refusal))
        return proto.ReadResponse(id=found.identity, properties=encoded(found.outputs), inputs=encoded(found.inputs))

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            outputs = self._provider.update(
                Resource(request.urn), request.id, decoded(request.news), preview=request.preview
            )
        except Refused as refusal:
            context.abort(grpc.StatusCode.UNKNOWN, str(refusal))
        return proto.UpdateResponse(properties=encoded(outputs))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            self._provider.delete(Resource(request.urn), request.id)
        except Refused as refusal:
            context.abort(grpc.StatusCode.UNKNOWN, str(refusal))
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            said = self._provider.invoke(request.tok, decoded(request.args))
        except Refused as refusal:
            return proto.InvokeResponse(failures=[proto.CheckFailure(property="", reason=str(refusal))])
        return proto.InvokeResponse(**{"return": encoded(said)})


def _say_half_made(context: Any, half: HalfMade) -> None:
    """The engine keeps such an object in its state, and tries again with the next update."""
    said = provider_pb2.ErrorResourceInitFailed(
        id=half.identity, properties=encoded(half.outputs), inputs=encoded(half.inputs), reasons=[str(half)]
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(half))
    status.details.add().Pack(said)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, str(half))


def serve(provider: Provider, version: str) -> None:
    """Answers on a port of loopback, which it prints, until its input ends; as the provider of that version."""
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
    server = grpc.server(ThreadPoolExecutor(max_workers=16), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Double(provider, version), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()  # ends when whoever started this closes it, or dies
    os._exit(0)  # at once: state is on disk, and calls may be held for a fault
