"""What a newer controller leaves out of a status for the sake of an older ModelPool resource."""

from __future__ import annotations

from controller.modelpool.undeclared import FORGET_S, Undeclared

# As the API of Kubernetes 1.34 says it.
WORDS = (
    "failed to create typed patch object (llm/a; spillway.dev/v1alpha1, Kind=ModelPool): errors:\n"
    "  .status.replicas.missing: field not declared in schema\n"
    "  .status.saturationPercent: field not declared in schema"
)
STATUS = {
    "replicas": {"ready": 1, "missing": 2},
    "saturationPercent": 40,
    "routing": {"mode": "Local"},
    "conditions": [{"type": "Ready"}],
}
KEPT = {"replicas": {"ready": 1}, "routing": {"mode": "Local"}, "conditions": [{"type": "Ready"}]}


def test_all_is_said_until_the_schema_lacks_something() -> None:
    """Whoever has heard nothing leaves nothing out."""
    assert Undeclared().left_out(STATUS, 0.0) == STATUS


def test_what_is_named_is_left_out_at_any_depth() -> None:
    """The fields that a refusal names go, and those beside them stay; the same words again are no news."""
    known = Undeclared()
    assert known.hear(WORDS, 10.0)
    assert known.paths == ("replicas.missing", "saturationPercent")
    assert known.left_out(STATUS, 10.0) == KEPT
    assert not known.hear(WORDS, 11.0)


def test_other_refusals_name_no_field() -> None:
    """A database that is away, a value out of bounds, a list's entry: nothing is left out for them."""
    known = Undeclared()
    for words in (
        "etcdserver: request timed out",
        "status.replicas.ready: Invalid value: -1",
        '.status.conditions[type="Ready"].since: field not declared in schema',
    ):
        assert not known.hear(words, 0.0)
    assert known.left_out(STATUS, 0.0) == STATUS


def test_a_field_that_is_no_object_here_stays() -> None:
    """A path into what is a number or a list takes nothing away."""
    known = Undeclared()
    assert known.hear(".status.saturationPercent.exact: field not declared in schema", 0.0)
    assert known.left_out(STATUS, 0.0) == STATUS


def test_an_upgraded_resource_is_noticed() -> None:
    """After five minutes all is said again, and what is still not declared is heard as news."""
    known = Undeclared()
    known.hear(WORDS, 0.0)
    assert known.left_out(STATUS, FORGET_S - 1.0) == KEPT
    assert known.left_out(STATUS, FORGET_S) == STATUS
    assert known.hear(WORDS, FORGET_S)
