"""The store of objects: older word never replaces newer, whatever order it comes in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.kubernetes_objects import ObjectStore, slim_pod


def item(name: str, version: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version), **more}}


def held(store: ObjectStore) -> dict[str, str]:
    return {name: one["metadata"]["resourceVersion"] for name, one in store.objects.items()}


def store_of(*items: dict[str, Any], version: int) -> ObjectStore:
    store = ObjectStore()
    assert store.replace(items, str(version))
    return store


@pytest.mark.parametrize(
    ("events", "left"),
    [
        pytest.param([("MODIFIED", 12)], {"a": "12"}, id="newer"),
        pytest.param([("MODIFIED", 12), ("MODIFIED", 12)], {"a": "12"}, id="twice"),
        pytest.param([("MODIFIED", 13), ("MODIFIED", 12)], {"a": "13"}, id="out-of-order"),
        pytest.param([("DELETED", 12), ("MODIFIED", 11)], {}, id="gone-stays-gone"),
        pytest.param([("DELETED", 12), ("ADDED", 14)], {"a": "14"}, id="made-again"),
        pytest.param([("ADDED", 14), ("DELETED", 12)], {"a": "14"}, id="made-again-and-late-word-of-the-end"),
        pytest.param([("DELETED", 9)], {"a": "10"}, id="end-from-before-the-list"),
        pytest.param([("MODIFIED", 9)], {"a": "10"}, id="change-from-before-the-list"),
    ],
)
def test_events_in_any_order(events: list[tuple[str, int]], left: dict[str, str]) -> None:
    """What is known of an object is its newest state."""
    store = store_of(item("a", 10), version=10)
    for change, version in events:
        store.apply(change, item("a", version))
    assert held(store) == left


def test_what_was_gone_before_the_list_does_not_come_back() -> None:
    """An old event of an object that the list does not have is refused."""
    store = store_of(item("a", 10), version=20)
    assert not store.apply("ADDED", item("b", 15))
    assert store.apply("ADDED", item("c", 21))
    assert held(store) == {"a": "10", "c": "21"}


def test_lost_deletion_is_made_good_by_a_list() -> None:
    """A list takes away what is not in it."""
    store = store_of(item("a", 10), item("b", 11), version=12)
    assert store.replace([item("b", 11)], "30")
    assert held(store) == {"b": "11"}


def test_old_list_is_refused() -> None:
    """A list from before what is known changes nothing, until the history itself is said to have gone back."""
    store = store_of(item("a", 10), version=12)
    store.apply("MODIFIED", item("a", 14))
    assert not store.replace([item("a", 10)], "13")
    assert held(store) == {"a": "14"}
    store.forget_versions()
    assert store.replace([item("a", 3)], "3")
    assert store.apply("MODIFIED", item("a", 4))
    assert held(store) == {"a": "4"}


def test_bookmarks_move_the_version_only_forward() -> None:
    """A watch goes on from the newest version that was seen."""
    store = store_of(version=10)
    assert not store.apply("BOOKMARK", item("", 50))
    assert not store.apply("BOOKMARK", item("", 40))
    assert store.version == "50"


def test_objects_that_did_not_change_are_the_same_objects() -> None:
    """A list that says nothing new makes no new objects."""
    store = store_of(item("a", 10), version=10)
    before = store.objects["a"]
    assert store.replace([item("a", 10), item("b", 12)], "12")
    assert store.objects["a"] is before


def test_slim_pods_keep_what_is_asked_for() -> None:
    """Containers and managed fields are left out; address, conditions and labels stay."""
    pod = {
        "metadata": {"name": "p", "uid": "u", "labels": {"a": "b"}, "managedFields": [{}]},
        "spec": {"nodeName": "n", "containers": [{}], "volumes": []},
        "status": {"podIP": "10.0.0.1", "conditions": [], "hostIPs": []},
    }
    assert slim_pod(pod) == {
        "metadata": {"name": "p", "uid": "u", "labels": {"a": "b"}},
        "spec": {"nodeName": "n"},
        "status": {"podIP": "10.0.0.1", "conditions": []},
    }


HISTORY = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["set", "drop"])), min_size=1, max_size=12)


@given(history=HISTORY, data=st.data())
def test_any_shuffle_with_repeats_ends_as_the_history_does(history: list[tuple[str, str]], data: st.DataObject) -> None:
    """Every event comes at least once, in any order and any number of times: the end is that of the history."""
    events, truth = [], dict[str, str]()
    for version, (name, what) in enumerate(history, start=11):
        if what == "set":
            events.append(("MODIFIED" if name in truth else "ADDED", item(name, version)))
            truth[name] = str(version)
        elif truth.pop(name, None) is not None:
            events.append(("DELETED", item(name, version)))
    heard = data.draw(st.permutations(events * 2))
    store = store_of(version=10)
    for change, one in heard:
        store.apply(change, one)
    assert held(store) == truth
