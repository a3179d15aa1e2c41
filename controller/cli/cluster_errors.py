"""What a command says when it cannot do its work on a cluster: what, why, and the command that mends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path

from controller.cli.cluster_options import ClusterWish
from controller.cli.errors import EXIT_FAILED, EXIT_KEY, EXIT_USAGE, CliError
from controller.core.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterInvalid,
    ClusterNotFound,
    ClusterUnavailable,
    ForbiddenCause,
    SpillwayError,
)

NO_KIND = "could not find the requested resource"  # as the API says that it knows no such kind


def kubeconfig_refusal(paths: str, wish: ClusterWish, read: Callable[[Path], object] | None = None) -> CliError | None:
    """Why no context can be had from kubeconfig; None where one can. `paths`: with colons, as KUBECONFIG has them."""
    files = [Path(path) for path in paths.split(":") if path]
    there = [path for path in files if path.is_file()]
    if not there:
        given = "--kubeconfig" if wish.kubeconfig else "KUBECONFIG or ~/.kube/config"
        return CliError(
            f"there is no kubeconfig {paths}",
            f"{given} says how to reach a cluster",
            "name the file: --kubeconfig FILE; for a system on this machine leave out --context, --namespace and "
            "SPILLWAY_PLATFORM",
            EXIT_USAGE,
        )
    try:
        contents = [(read or _read_yaml)(path) for path in there]
    except (OSError, ValueError) as error:
        return CliError(f"kubeconfig {paths} cannot be read", str(error), "kubectl config view", EXIT_USAGE)
    documents: list[Mapping[str, object]] = [one for one in contents if isinstance(one, dict)]
    names = [name for document in documents for name in _contexts(document)]
    current = next((str(found) for document in documents if (found := document.get("current-context"))), None)
    wanted = wish.context or current
    if wanted is None:
        why = f"there are {', '.join(names)}" if names else "it has none at all"
        return CliError(f"kubeconfig {paths} has no current context", why, "name one: --context NAME", EXIT_USAGE)
    if wanted in names:
        return None
    close = get_close_matches(wanted, names, n=1)
    why = f"did you mean {close[0]}?" if close else f"there are {', '.join(names[:20]) or 'none'}"
    return CliError(
        f"no context '{wanted[:100]}' in kubeconfig {paths}", why, "kubectl config get-contexts", EXIT_USAGE
    )


def _contexts(document: Mapping[str, object]) -> list[str]:
    listed = document.get("contexts")
    named = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [str(one["name"]) for one in named if one.get("name")]


def _read_yaml(path: Path) -> object:
    import yaml

    try:
        found: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from error
    return found


def explained(error: SpillwayError, wish: ClusterWish, where: str) -> SpillwayError:
    """The same as one clear message with what mends it. `where`: the namespace and the server, in words."""
    if not isinstance(error, ClusterError):
        return error
    if isinstance(error, ClusterUnavailable):
        return CliError(
            f"no answer from {where}", str(error), f"see whether it is up: {wish.kubectl('get --raw /readyz')}"
        )
    if isinstance(error, ClusterForbidden):
        return _forbidden(error, wish, where)
    if isinstance(error, ClusterNotFound):
        return _not_found(error, wish, where)
    if isinstance(error, ClusterConflict):
        return CliError(f"somebody else is changing it in {where}", str(error), "try again", EXIT_FAILED)
    if isinstance(error, ClusterInvalid):
        return CliError(f"{where} refuses it", str(error), "see the message of the API", EXIT_USAGE)
    return CliError(f"{where} cannot do it", str(error))


def _forbidden(error: ClusterForbidden, wish: ClusterWish, where: str) -> CliError:
    if error.reason == "Unauthorized":
        fix = f"log in to the cluster again; what it knows of you: {wish.kubectl('auth whoami')}"
        return CliError(f"{where} does not know you", str(error), fix, EXIT_KEY)
    if error.cause is not ForbiddenCause.RIGHTS:
        return CliError(f"{where} does not let it through", str(error), "see the message of the API", EXIT_FAILED)
    fix = f"ask whoever runs the cluster for that right; what you may: {wish.kubectl('auth can-i --list')}"
    return CliError(f"you may not do that in {where}", str(error), fix, EXIT_KEY)


def _not_found(error: ClusterNotFound, wish: ClusterWish, where: str) -> CliError:
    if NO_KIND in str(error):
        return CliError(
            f"{where} knows no ModelPools",
            "the custom resource definition modelpools.spillway.dev is not installed",
            "install the chart of helm/ops, which brings it; or name another cluster: --context NAME",
        )
    return CliError(f"it is not in {where}", str(error), wish.kubectl("get modelpools"))
