"""The composition root of commands on a cluster: constructs the adapters that reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.adapters.kubernetes_access import Access
    from controller.adapters.kubernetes_client import KubernetesClient


def open_client(access: Access) -> KubernetesClient:
    """Calls of its API."""
    from controller.adapters.kubernetes_client import KubernetesClient

    return KubernetesClient(access)
