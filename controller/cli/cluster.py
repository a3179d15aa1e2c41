"""A cluster as a command uses it: plain calls, each with a deadline, and every failure one clear message."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from controller.cli.cluster_options import ClusterWish
from controller.core.errors import SpillwayError

if TYPE_CHECKING:
    from controller.adapters.kubernetes_access import Access
    from controller.adapters.kubernetes_client import KubernetesClient

T = TypeVar("T")
FIRST_WORD_S = 3.0  # reading kubeconfig itself takes a second
LOGIN_S = 60.0  # a plug-in of kubeconfig may have to ask somewhere else first


class Cluster:
    """One namespace of a cluster. Close it when done."""

    def __init__(self, wish: ClusterWish, access: Access, client: KubernetesClient, runner: asyncio.Runner) -> None:
        self.wish = wish
        self.access = access
        self._client = client
        self._runner = runner

    @property
    def namespace(self) -> str:
        """Where the installation is."""
        return self.access.namespace

    @property
    def where(self) -> str:
        """The place in words."""
        return f"namespace {self.access.namespace} of {self.access.server}"

    def do(self, job: Callable[[KubernetesClient], Coroutine[object, object, T]]) -> T:
        """What the job brings; CliError where it cannot be done."""
        from controller.cli.cluster_errors import explained
        from controller.cli.output import told_while

        try:
            with told_while("note", f"waiting for {self.access.server}"):
                return self._runner.run(job(self._client))
        except SpillwayError as error:
            raise explained(error, self.wish, self.where) from error

    def close(self) -> None:
        """Afterwards no connection is open."""
        self._runner.run(self._client.close())
        self._runner.close()


@contextmanager
def open_cluster(wish: ClusterWish) -> Iterator[Cluster]:
    """The cluster until the end of the block."""
    from controller.cli.wiring_cluster import open_client

    runner = asyncio.Runner()
    try:
        access = _access(wish, runner)
        cluster = Cluster(wish, access, open_client(access), runner)
    except BaseException:
        runner.close()
        raise
    try:
        yield cluster
    finally:
        cluster.close()


def _access(wish: ClusterWish, runner: asyncio.Runner) -> Access:
    """The way in; CliError where kubeconfig has none."""
    from controller.adapters.kubernetes_access import POD_FILES, find_access
    from controller.cli.cluster_errors import kubeconfig_refusal
    from controller.cli.errors import EXIT_USAGE, CliError
    from controller.cli.output import told_while

    environ = {**os.environ, **({"KUBECONFIG": wish.kubeconfig} if wish.kubeconfig else {})}
    in_pod = environ.get("KUBERNETES_SERVICE_HOST") and (POD_FILES / "token").exists()
    if wish.context is not None or environ.get("KUBECONFIG") or not in_pod:
        paths = environ.get("KUBECONFIG") or f"{environ.get('HOME', '')}/.kube/config"
        refusal = kubeconfig_refusal(paths, wish)
        if refusal is not None:
            raise refusal

    async def find() -> Access:
        async with asyncio.timeout(LOGIN_S):
            namespace = wish.namespace or environ.get("SPILLWAY_NAMESPACE") or None
            return await find_access(environ, context=wish.context, namespace=namespace)

    fix = f"see what kubectl says: {wish.kubectl('get modelpools')}"
    try:
        with told_while("note", "waiting for what kubeconfig logs in with", first_s=FIRST_WORD_S):
            return runner.run(find())
    except TimeoutError as error:
        raise CliError("no way into the cluster", f"kubeconfig has brought none within {LOGIN_S:g} s", fix) from error
    except SpillwayError as error:
        raise CliError("no way into the cluster", str(error), fix, EXIT_USAGE) from error
