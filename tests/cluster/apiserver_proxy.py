"""An HTTP proxy before the real API, one for each process under test: passes all on, counts it, and fails on command.

It listens without TLS on loopback and is an administrator towards the API, or impersonates the account of the process
under test, so that the rights of that account are what counts. It lives in a thread of its own: a test may block while
it passes things on. Commands take effect at once, also on watches that are open.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.cluster.api_asked import Asked, Call, asked_of, tally
from tests.cluster.api_faults import CallFault, Faults, WatchFaults, status_body
from tests.cluster.api_passage import passage
from tests.cluster.handle import ControlPlane
from tests.cluster.ports import free_ports

COMMAND_S = 15.0
Result = TypeVar("Result")


class ApiserverProxy:
    """One way to the API. `account`: a service account, `namespace:name`, that callers are taken for."""

    def __init__(self, upstream: ControlPlane, *, account: str | None = None) -> None:
        tls = ssl.create_default_context(cafile=str(upstream.probe.authority.certificate))
        tls.load_cert_chain(upstream.probe.admin.certificate, upstream.probe.admin.key)
        (self.port,) = free_ports(1)
        self.faults = Faults()
        who = {} if account is None else _impersonating(*account.split(":"))
        self._loop = asyncio.new_event_loop()
        self._kept_lists: dict[str, bytes] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name=f"apiserver-proxy-{self.port}")
        self._thread.start()
        self._passage = self._do(passage(upstream.server, tls, who, self.faults, self.port))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def kubeconfig(self, path: Path, namespace: str) -> Path:
        """The file at `path` leads clients here."""
        name = "through-proxy"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
            "clusters": [{"name": name, "cluster": {"server": self.url}}],
            "users": [{"name": name, "user": {}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def fail(
        self,
        status: int,
        *,
        verb: str = "",
        resource: str = "",
        name: str = "",
        reason: str = "",
        message: str = "as the test wants it",
        times: int | None = None,
        retry_after_s: int | None = None,
    ) -> CallFault:
        """Such calls are answered with this error from now on, and the API does not hear of them."""
        fault = CallFault(
            verb=verb,
            resource=resource,
            name=name,
            status=status,
            body=status_body(status, reason, message),
            headers={} if retry_after_s is None else {"Retry-After": str(retry_after_s)},
            times=times,
        )
        self.faults.calls.append(fault)
        return fault

    def lose(
        self,
        *,
        verb: str = "",
        resource: str = "",
        name: str = "",
        cut: str = "after",
        picks: Callable[[Asked], bool] | None = None,
        then: Callable[[], None] | None = None,
        skips: int = 0,
        times: int | None = 1,
    ) -> CallFault:
        """The connection of such a call is cut before the API hears it, or after it is done; `then` happens first."""
        fault = CallFault(
            verb=verb, resource=resource, name=name, cut=cut, picks=picks, then=then, skips=skips, times=times
        )
        self.faults.calls.append(fault)
        return fault

    def keep_list(self, path: str) -> None:
        """Remembers what a list of this path says now."""
        self._kept_lists[path] = self._do(self._passage.fetch(path))

    def serve_kept_list(self, path: str, *, times: int | None = 1) -> CallFault:
        """Lists of that path say what they said then."""
        resource = asked_of("GET", path, {}).resource
        fault = CallFault(verb="list", resource=resource, status=200, body=self._kept_lists[path], times=times)
        self.faults.calls.append(fault)
        return fault

    def spoil(self, resource: str, faults: WatchFaults) -> WatchFaults:
        """Events of watches of this resource suffer so from now on."""
        self.faults.watches[resource] = faults
        return faults

    def freeze(self, *resources: str) -> None:
        """No event passes and no watch of these ends any more; connections stay open."""
        self.faults.frozen |= set(resources)
        self._tell()

    def silence(self) -> None:
        """Whatever is asked from now on gets no answer; connections are taken and stay open, watches freeze."""
        self.faults.silent = True
        self._tell()

    def thaw(self) -> None:
        """All goes on, with what was held back."""
        self.faults.frozen.clear()
        self.faults.silent = False
        self._tell()

    def heal(self) -> None:
        """All passes as it should."""
        self.faults.calls.clear()
        self.faults.watches.clear()
        self.thaw()

    def cut(self) -> None:
        """Every connection is reset."""
        self._do(self._passage.cut())

    def refuse(self) -> None:
        """No connection is taken any more, and those that were are reset."""
        self._do(self._passage.refuse())

    def listen(self) -> None:
        """Connections are taken again."""
        self._do(self._passage.listen())

    @property
    def open_watches(self) -> dict[str, int]:
        """How many watches are open, by resource."""
        return {name: count for name, count in self._passage.open_watches.items() if count}

    def since(self, at_s: float) -> list[Call]:
        """The calls since then, by `time.monotonic`."""
        return [one for one in list(self._passage.calls) if one.at_s >= at_s]

    def writes(self, at_s: float = 0.0) -> list[Call]:
        """Those that the API has taken and that were meant to change something."""
        return [one for one in self.since(at_s) if one.asked.is_write and one.done]

    def counts(self, at_s: float = 0.0) -> dict[str, int]:
        """How many calls since then, by verb and resource."""
        return tally(self.since(at_s))

    def stop(self) -> None:
        """Nothing of it is left."""
        self.heal()
        self._do(self._passage.end())
        self._do(asyncio.sleep(0.25))  # for transports with TLS to close
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(COMMAND_S)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(COMMAND_S)

    def _tell(self) -> None:
        self._loop.call_soon_threadsafe(self.faults.tell)


def _impersonating(namespace: str, name: str) -> dict[str, str]:
    return {
        "Impersonate-User": f"system:serviceaccount:{namespace}:{name}",
        "Impersonate-Group": "system:authenticated",
    }


@contextlib.contextmanager
def apiserver_proxy(upstream: ControlPlane, *, account: str | None = None) -> Iterator[ApiserverProxy]:
    """A proxy that listens; afterwards nothing of it is left."""
    made = ApiserverProxy(upstream, account=account)
    try:
        yield made
    finally:
        made.stop()
