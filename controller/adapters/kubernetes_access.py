"""Where the Kubernetes API is and how one gets in: from inside a pod, or by kubeconfig.

Measured on the library `kubernetes` 37: its configuration loader takes 24 MB and 0.6 s of CPU to import, its typed
API and models of pods and Deployments 133 MB and 2.3 s, in each of many processes whose whole bar is 150 MB. So a pod
reads its three files by itself and loads none of it; kubeconfig, with contexts, exec plug-ins and OIDC, is read by
the library; and all calls are JSON over aiohttp (`kubernetes_client`), which is what the library would use too.
"""

from __future__ import annotations

import ssl
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.core.errors import SpillwayError

POD_FILES = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_REREAD_S = 60.0  # the kubelet swaps it long before it expires
RENEW_EVERY_S = 10.0  # a refused token is asked for anew, no more often than this

Headers = Callable[[bool], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A way in. `headers(refused)`: what shows who calls; `refused`: what it gave last was not accepted."""

    server: str
    namespace: str
    headers: Headers
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    proxy: str | None = None
    trust_env: bool = False


async def find_access(
    environ: Mapping[str, str], *, context: str | None = None, namespace: str | None = None, pod_files: Path = POD_FILES
) -> Access:
    """The way in that was asked for, else the pod's own, else the user's kubeconfig."""
    asked = context is not None or environ.get("KUBECONFIG")
    if not asked and environ.get("KUBERNETES_SERVICE_HOST") and (pod_files / "token").exists():
        return pod_access(environ, namespace=namespace, pod_files=pod_files)
    paths = environ.get("KUBECONFIG") or f"{environ.get('HOME', '')}/.kube/config"
    return await kubeconfig_access(paths, context=context, namespace=namespace)


def pod_access(environ: Mapping[str, str], *, namespace: str | None, pod_files: Path = POD_FILES) -> Access:
    """The way in of the pod's service account; its token is read again while it runs."""
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    read_at_s, shown = -TOKEN_REREAD_S, {}

    async def headers(refused: bool) -> Mapping[str, str]:
        nonlocal read_at_s, shown
        now_s = time.monotonic()
        if refused or now_s - read_at_s >= TOKEN_REREAD_S:
            token = (pod_files / "token").read_text(encoding="ascii").strip()
            read_at_s, shown = now_s, {"Authorization": f"Bearer {token}"}
        return shown

    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=namespace or (pod_files / "namespace").read_text(encoding="utf-8").strip(),
        headers=headers,
        tls=ssl.create_default_context(cafile=str(pod_files / "ca.crt")),
    )


async def kubeconfig_access(paths: str, *, context: str | None, namespace: str | None) -> Access:
    """The way in of a context of kubeconfig; a token that is refused is asked for anew."""
    from kubernetes.aio.client.configuration import Configuration  # noqa: PLC0415 # heavy: see above
    from kubernetes.aio.config import ConfigException, load_kube_config  # noqa: PLC0415

    async def load() -> tuple[Configuration, Mapping[str, object]]:
        found = Configuration()
        try:
            loader = await load_kube_config(
                config_file=paths, context=context, client_configuration=found, persist_config=False
            )
        except (ConfigException, OSError, ValueError, TypeError) as error:
            wanted = "its current context" if context is None else f"context {context!r}"
            raise SpillwayError(f"kubeconfig {paths}: {wanted} cannot be used: {error}") from error
        return found, loader.current_context["context"]

    settings, named = await load()
    loaded_at_s, shown = time.monotonic(), _shown_by(settings)

    async def headers(refused: bool) -> Mapping[str, str]:
        nonlocal loaded_at_s, shown
        if refused and time.monotonic() - loaded_at_s >= RENEW_EVERY_S:
            loaded_at_s = time.monotonic()
            shown = _shown_by((await load())[0])
        return shown

    return Access(
        server=settings.host.rstrip("/"),
        namespace=namespace or str(named.get("namespace") or "default"),
        headers=headers,
        tls=_tls_of(settings) if settings.host.startswith("https:") else None,
        server_name=settings.tls_server_name,
        proxy=settings.proxy,
        trust_env=True,
    )


def _shown_by(settings: object) -> dict[str, str]:
    """The header that says who calls, as kubeconfig has it: a token or a password; none beside a certificate."""
    token = getattr(settings, "api_key", {}).get("BearerToken")
    if token is not None:
        return {"Authorization": str(token)}
    if not getattr(settings, "username", ""):
        return {}
    words = f"{getattr(settings, 'username', '')}:{getattr(settings, 'password', '') or ''}"
    return {"Authorization": f"Basic {b64encode(words.encode()).decode()}"}


def _tls_of(settings: object) -> ssl.SSLContext:
    """TLS as kubeconfig has it."""
    tls = ssl.create_default_context(cafile=getattr(settings, "ssl_ca_cert", None))
    certificate = getattr(settings, "cert_file", None)
    if certificate:
        tls.load_cert_chain(certificate, keyfile=getattr(settings, "key_file", None))
    if not getattr(settings, "verify_ssl", True):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls
