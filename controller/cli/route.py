"""`spillway route explain`: where a request would go and why, worked out here from its JSON. Sends nothing.

It is decoded, classified and planned by the gateway's own functions, under the view that the controller published.
No text of the request is ever shown.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster_options import also_on_cluster
from controller.cli.errors import EXIT_USAGE, CliError
from controller.core.fleet import FleetView, ReplicaState, RoutingMode
from controller.core.requests import Operation, Phase, RequestProfile, Target
from controller.core.tenants import policy_of

if TYPE_CHECKING:
    from controller.config.settings import Settings
    from controller.gateway.decode import Decoded
    from controller.gateway.wishes import HeaderMap

TENANT = "default"  # whose keys `spillway keys create` makes unless told otherwise
HEADERS = ("x-spillway-task", "x-spillway-complexity", "x-spillway-spill", "x-spillway-priority")
STALE_S = 60.0  # an older view tells nothing about now, unless `up` runs and is only slow
FIELDS = {"messages": Operation.CHAT, "prompt": Operation.COMPLETION, "input": Operation.EMBEDDINGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All there is to tell. `skips`: why links would be passed over now, by the key of their model."""

    settings: Settings
    decoded: Decoded
    profile: RequestProfile
    chain: tuple[Target, ...]
    skips: dict[str, str]
    passed_over: dict[str, str]
    notes: tuple[str, ...]


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `route explain`."""
    route = typer.Typer(help="Explain where requests go.", no_args_is_help=True, rich_markup_mode=None)
    route.callback()(_route)
    examples = (
        "Examples: spillway route explain request.json    "
        "spillway route explain - --phase phase3 --header 'x-spillway-task: critique' < request.json"
    )
    route.command("explain", epilog=examples)(explain)
    app.add_typer(route, name="route")


def _route() -> None:
    """Explain where requests go."""


@also_on_cluster("cluster_route:explain")
def explain(
    file: str = typer.Argument(..., help="the JSON body of the request; - reads it from stdin"),
    *,
    header: list[str] = typer.Option([], help="a header it comes with, 'name: value'; may be given again"),
    operation: Operation | None = typer.Option(None, help="which API it goes to [default: told by its fields]"),
    tenant: str = typer.Option(TENANT, help="as a request of this tenant"),
    phase: Phase | None = typer.Option(None, help="as if this phase held [default: the configured one]"),
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, "--state-dir", help="state folder of the system [default: .spillway]"),
    as_json: bool = typer.Option(False, "--json", help="one JSON document on stdout"),
) -> None:
    """Tell which targets a request would be sent to, in order, why, and at what price. Sends nothing."""
    asked = read_request(file, header, operation)
    settings, notes = _settings(config, state_dir)
    if phase is not None:
        settings = replace(settings, phase=phase)
    view, said = _view(settings)
    show(explained(settings, asked, view, [*notes, *said], tenant=tenant), as_json=as_json)


def show(found: Explanation, *, as_json: bool) -> None:
    """All there is to tell, as lines and notes or as data."""
    from controller.cli.output import emit_json, say
    from controller.cli.route_words import document_of, lines_of

    if as_json:
        emit_json("route", document_of(found))
        return
    sys.stdout.write("\n".join(lines_of(found)) + "\n")
    sys.stdout.flush()
    for note in found.notes:
        say("note", note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it would come."""

    operation: Operation
    headers: HeaderMap
    body: bytes


def read_request(file: str, header: Sequence[str], operation: Operation | None) -> Asked:
    """The request that is asked about; CliError where it is none."""
    body = _body(file)
    told = _operation(body, file)
    return Asked(operation=operation or told, headers=_headers(header), body=body)


def explained(
    settings: Settings,
    asked: Asked,
    view: FleetView | None,
    notes: Sequence[str] = (),
    *,
    tenant: str = TENANT,
) -> Explanation:
    """What the gateway would make of the request; RequestError when it would refuse it."""
    from controller.gateway.decode import decode
    from controller.gateway.json_body import too_large
    from controller.gateway.tables import routing_table
    from controller.routing.choose import choose, passed_over, plan_chain
    from controller.routing.classify import classify, known_tasks

    caps = settings.gateway.caps
    if len(asked.body) > caps.body_bytes:
        raise too_large(caps.body_bytes)
    decoded = decode(asked.operation, asked.headers, asked.body, tenant, caps)
    profile = classify(decoded.facts, known_tasks(settings.rules), policy_of(settings.tenants, tenant))
    table = routing_table(settings, frozenset(settings.providers))
    plan = plan_chain(profile, table)
    spilling, spill_now = _spill(plan[0], view)
    chain = choose(profile, plan, view if view is not None else FleetView(), spill_now=spill_now)
    kept = {target.model.key for target in chain}
    forbidden = [target.model.key for target in plan if target.model.key not in kept]
    return Explanation(
        settings=settings,
        decoded=decoded,
        profile=profile,
        chain=chain,
        skips={target.model.key: why for target in chain if (why := _skip(target, decoded, settings, view))},
        passed_over={**passed_over(profile, table), **dict.fromkeys(forbidden, "x-spillway-spill: never forbids it")},
        notes=(*notes, *spilling),
    )


def _body(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CliError(f"cannot read {file}", error.strerror or "", exit_code=EXIT_USAGE) from error


def _operation(body: bytes, file: str) -> Operation:
    """The API that the fields belong to; what is not JSON at all is refused here, without a word of it."""
    import orjson

    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        name = "stdin" if file == "-" else file
        where = f"{error.msg}, line {error.lineno}, column {error.colno}"
        raise CliError(f"{name} is not JSON", where, exit_code=EXIT_USAGE) from error
    fields = document if isinstance(document, dict) else {}
    return next((operation for name, operation in FIELDS.items() if name in fields), Operation.CHAT)


def _headers(given: Sequence[str]) -> HeaderMap:
    from difflib import get_close_matches

    found: HeaderMap = {}
    for line in given:
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not name or not value.strip().isascii():
            raise CliError(f"'{name[:64]}' is no header", "allowed: 'name: value'", exit_code=EXIT_USAGE)
        if name.startswith("x-spillway-") and name not in HEADERS:
            close = get_close_matches(name, HEADERS, n=1, cutoff=0.8)
            why = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(HEADERS)}"
            raise CliError(f"the gateway reads no header '{name[:64]}'", why, exit_code=EXIT_USAGE)
        found[name.encode()] = value.strip().encode()
    return found


def _settings(config: Path | None, state_dir: Path | None) -> tuple[Settings, list[str]]:
    """The settings of the running system; when none runs, those that `spillway up` would run with."""
    from controller.cli.leftovers import running_up
    from controller.cli.overrides import STANDIN_URL, lacks_key, with_standin
    from controller.cli.wiring import settings_from

    settings = settings_from(config, state_dir)
    if running_up(settings.state_dir) is not None or STANDIN_URL in os.environ:
        return settings, []
    keyless = [name for name, provider in settings.providers.items() if lacks_key(provider, os.environ)]
    if not keyless:
        return settings, []
    note = f"no key for {', '.join(keyless)}: explained with the simulated stand-ins that `spillway up` would start"
    return with_standin(settings, f"http://127.0.0.1:{settings.standin_port}", os.environ), [note]


def _view(settings: Settings) -> tuple[FleetView | None, list[str]]:
    """What the controller published, unless that is history."""
    from controller.cli.leftovers import running_up
    from controller.cli.wiring import open_fleet

    view = open_fleet(settings).last()
    if view is None:
        return None, ["nothing runs here: every pool is taken as ready and routed Local"]
    if time.time() - view.published_at_s > STALE_S and running_up(settings.state_dir) is None:
        return None, ["nothing runs here any more: every pool is taken as ready and routed Local"]
    return view, []


def _spill(first: Target, view: FleetView | None) -> tuple[list[str], bool]:
    """Words about a pool that spills, and whether most of its requests leave."""
    pool = None if first.pool is None or view is None else view.pools.get(first.pool.name)
    if pool is None or pool.mode is not RoutingMode.SPILLING:
        return [], False
    leaves = pool.spill_ratio >= 0.5
    note = f"pool {pool.name} spills {pool.spill_ratio:.0%} of its requests; this is the order for one that "
    return [note + ("leaves" if leaves else "stays")], leaves


def _skip(target: Target, decoded: Decoded, settings: Settings, view: FleetView | None) -> str | None:
    """Why the gateway would pass this link over now, as far as that can be told from outside."""
    from controller.core.models import Dialect
    from controller.gateway import anthropic_wire, openai_wire
    from controller.gateway.decode import NotTranslatable

    if target.pool is not None and view is not None:
        seen = view.pools.get(target.pool.name)
        ready = len(target.pool.endpoints) if seen is None else seen.count(ReplicaState.READY)
        return None if ready else "no replica is ready"
    if target.provider is not None:
        refuses = target.model.refuses | target.provider.refuses
        try:
            if target.provider.dialect is Dialect.ANTHROPIC:
                anthropic_wire.request_body(decoded, target.model, temperature=None, refuses=refuses)
            else:
                openai_wire.request_body(decoded, target.model, is_own=False, temperature=None, refuses=refuses)
        except NotTranslatable as lack:
            return f"its API has no word for {lack}"
    return None
