"""What kubectl's completion is offered: commands, options, and names that are asked of the cluster."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from fake_cluster import FakeCluster
from typer.main import get_command

from controller.cli.cluster_options import ClusterWish
from controller.cli.complete import names_there, offers
from controller.cli.main import build_app

ROOT = get_command(build_app())


def named(kind: str, wish: ClusterWish) -> Iterable[str]:
    """Names that tell what was asked for."""
    return (f"{kind}-of-{wish.namespace}", f"{kind}-in-{wish.context}")


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["stat"], ["status", ":4"]),
        (["-n", "models", "pool", ""], ["drain", "list", "pin", "unpin", ":4"]),
        (["pool", "u"], ["unpin", ":4"]),
        (["status", "--wa"], ["--watch", ":4"]),
        (["status", "--na"], ["--namespace", ":4"]),
        (["pool", "pin", ""], ["pools-in-None", "pools-of-None", ":4"]),
        (["pool", "pin", "--namespace=models", "pools-of"], ["pools-of-models", ":4"]),
        (["--context", "prod", "explain", "pool", "pools-in"], ["pools-in-prod", ":4"]),
        (["pool", "drain", "replicas-of"], ["replicas-of-None", ":4"]),
        (["pool", "pin", "llama-8b", ""], [":0"]),
        (["config", "validate", ""], [":0"]),
        (["status", "--config", ""], [":0"]),
        (["nonsense", "st"], [":4"]),
        (["zzz"], [":4"]),
    ],
)
def test_words_are_offered_as_kubectl_reads_them(words: list[str], lines: list[str]) -> None:
    """A word per line, then whether files may be meant."""
    assert offers(words, ROOT, named) == lines


def test_all_commands_are_offered_at_the_beginning() -> None:
    """Before anything is typed."""
    assert {"status", "pool", "keys", "help"} < set(offers([], ROOT, named))


def test_names_are_those_of_the_cluster(there: FakeCluster) -> None:
    """And none where it cannot be asked."""
    there.fleet()
    assert list(names_there("pools", ClusterWish(), limit_s=30.0)) == ["llama-8b"]
    assert list(names_there("replicas", ClusterWish(), limit_s=30.0)) == ["llama-8b-aaa"]
    assert list(names_there("pools", ClusterWish(kubeconfig="/no/such"))) == []
