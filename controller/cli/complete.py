"""`kubectl_complete-spillway`: what kubectl's shell completion offers behind `kubectl spillway`.

kubectl calls it with the words so far, the last of which may be unfinished, and reads a word per line; the last line is
a directive. Names of pools and replicas are asked of the cluster, within five seconds or not at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from controller.cli.cluster_options import FLAGS, ClusterWish, cluster_wish

NO_FILES, FILES = ":4", ":0"
NAMES_S = 5.0
NAMED: Mapping[tuple[str, ...], str] = {
    ("pool", "pin"): "pools",
    ("pool", "unpin"): "pools",
    ("explain", "pool"): "pools",
    ("pool", "drain"): "replicas",
}
OF_FILES = frozenset({"--config", "-c", "--kubeconfig", "--out"})
Names = Callable[[str, ClusterWish], Iterable[str]]


def offers(words: Sequence[str], root: object, names: Names) -> list[str]:
    """The lines for the last of `words`. `root`: typer's tree of commands. `names`: of which kind, on which cluster."""
    *before, unfinished = words or [""]
    if before and before[-1] in OF_FILES:
        return [FILES]
    given = [word for word in _without_flags(before) if not word.startswith("-")]
    command, path = root, list[str]()
    for word in given:
        below = getattr(command, "commands", None)
        if below is None:
            break
        if word not in below:
            return [NO_FILES]
        command, path = below[word], [*path, word]
    if unfinished.startswith("-"):
        found: Iterable[str] = (
            name for one in getattr(command, "params", ()) for name in one.opts if name.startswith("--")
        )
    elif getattr(command, "commands", None):
        found = getattr(command, "commands", ())
    elif tuple(path) in NAMED and len(given) == len(path):
        found = names(NAMED[tuple(path)], _wish(before))
    else:
        return [FILES]
    return [*sorted({word for word in found if word.startswith(unfinished)}), NO_FILES]


def _without_flags(words: Sequence[str]) -> list[str]:
    """The words without what names the cluster."""
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in FLAGS:
            skip = True
        else:
            kept.append(word)
    return kept


def _wish(words: Sequence[str]) -> ClusterWish:
    """The cluster that the words so far name."""
    given: dict[str, str | None] = dict.fromkeys(FLAGS.values())
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in FLAGS and (equals or following):
            given[FLAGS[name]] = value if equals else following
    return cluster_wish(given, {"SPILLWAY_PLATFORM": "kubernetes"}) or ClusterWish()


def names_there(
    kind: str, wish: ClusterWish, environ: Mapping[str, str] = os.environ, *, limit_s: float = NAMES_S
) -> Iterable[str]:
    """Names of pools, or of replicas; none where they cannot be had soon."""
    import asyncio
    import time

    from controller.adapters.kubernetes_access import find_access
    from controller.adapters.kubernetes_sight import look
    from controller.cli.wiring_cluster import open_client

    async def ask() -> Iterable[str]:
        variables = {**environ, **({"KUBECONFIG": wish.kubeconfig} if wish.kubeconfig else {})}
        namespace = wish.namespace or variables.get("SPILLWAY_NAMESPACE") or None
        client = open_client(await find_access(variables, context=wish.context, namespace=namespace))
        try:
            async with asyncio.timeout(limit_s):
                sight = await look(client, time.time())
        finally:
            await client.close()
        return sight.pools if kind == "pools" else sight.replicas()

    try:
        return asyncio.run(ask())
    except Exception:  # noqa: BLE001 # a shell waits: nothing offered is better than a word about why
        return ()


def main() -> None:
    """Entry point."""
    from typer.main import get_command

    from controller.cli.main import build_app

    sys.stdout.write("\n".join(offers(sys.argv[1:], get_command(build_app()), names_there)) + "\n")
