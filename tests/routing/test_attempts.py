"""The fallback generator, driven by hand and by chance."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import EngineUnavailable, StreamBroken, UpstreamError, UpstreamRejected, UpstreamTimeout
from controller.core.requests import Target, TargetKind
from controller.routing.attempts import CALLERS_FAULT_STATUSES, Attempt, Outcome, RetryBudget, attempts

from .builders import external_target, own_target

OWN, BOUGHT, BOUGHT_TOO = own_target(), external_target("gpt-4o"), external_target("gpt-4o-mini")
GONE = Outcome(error=EngineUnavailable("refused"), replica_id="r1")
ANSWERED = Outcome(answered=True, first_byte_sent=True)


def drive(
    targets: list[Target], outcomes: list[Outcome], *, replicas_per_pool: int = 2, retries: int = 100
) -> list[Attempt]:
    """The attempts made when these are the outcomes in turn, with so many retries allowed."""
    steps = attempts(targets, replicas_per_pool=replicas_per_pool)
    made: list[Attempt] = []
    given = iter(outcomes)
    attempt = next(steps, None)
    while attempt is not None and (not attempt.again or retries > 0):
        made.append(attempt)
        retries -= attempt.again
        outcome = next(given, None)
        if outcome is None:
            break
        with suppress(StopIteration):
            attempt = steps.send(outcome)
            continue
        attempt = None
    return made


def names(made: list[Attempt]) -> list[str]:
    """Where the attempts went."""
    return [attempt.target.name for attempt in made]


def test_an_answer_ends_it() -> None:
    """One attempt when it works."""
    assert names(drive([OWN, BOUGHT], [ANSWERED])) == ["llama-8b"]


def test_a_dead_replica_is_followed_by_another_one_then_the_next_target() -> None:
    """Same pool without the replica that failed, then on."""
    made = drive([OWN, BOUGHT], [GONE, Outcome(error=UpstreamTimeout("connect", 1.0), replica_id="r2"), ANSWERED])
    assert names(made) == ["llama-8b", "llama-8b", "openai"]
    assert [attempt.ordinal for attempt in made] == [1, 2, 3]
    assert [attempt.tried_replicas for attempt in made] == [frozenset(), {"r1"}, frozenset()]


def test_a_failure_without_a_replica_still_counts_towards_the_limit() -> None:
    """The number of tries on a pool is bounded even when the replica is not known."""
    made = drive([OWN], [Outcome(error=EngineUnavailable("x"))] * 5, replicas_per_pool=3)
    assert [attempt.tried_replicas for attempt in made] == [frozenset()] * 3


@pytest.mark.parametrize("status", sorted(CALLERS_FAULT_STATUSES))
def test_a_refusal_of_the_request_itself_is_final(status: int) -> None:
    """400, 404, 413 and 422 go to the caller; nobody else is asked."""
    assert len(drive([OWN, BOUGHT], [Outcome(error=UpstreamRejected(status, b""))])) == 1


@pytest.mark.parametrize(
    "error",
    [
        UpstreamRejected(401, b""),
        UpstreamRejected(403, b""),
        UpstreamTimeout("ttft", 60.0),
        StreamBroken("before any content"),
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [OWN, BOUGHT], ids=["own", "external"])
def test_other_failures_go_to_the_next_target(first: Target, error: UpstreamError) -> None:
    """Our key, a late answer: the next target, not another replica."""
    made = drive([first, BOUGHT_TOO], [Outcome(error=error, replica_id="r1"), ANSWERED])
    assert [attempt.target for attempt in made] == [first, BOUGHT_TOO]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_full_or_failing_replica_is_followed_by_another_one(status: int) -> None:
    """Its peers may have room, or be well; a provider has no peers."""
    failed = Outcome(error=UpstreamRejected(status, b""), replica_id="r1")
    made = drive([OWN, BOUGHT], [failed, ANSWERED])
    assert [(attempt.target, attempt.tried_replicas) for attempt in made] == [(OWN, frozenset()), (OWN, {"r1"})]
    assert [attempt.target for attempt in drive([BOUGHT, OWN], [failed, ANSWERED])] == [BOUGHT, OWN]


def test_an_external_target_is_tried_once() -> None:
    """There are no replicas to go through."""
    assert names(drive([BOUGHT, BOUGHT_TOO], [GONE, GONE])) == ["openai", "openai"]


def test_a_skipped_target_costs_no_retry() -> None:
    """Nothing was sent, so the budget is not asked and the count does not grow."""
    made = drive([OWN, BOUGHT, BOUGHT_TOO], [Outcome(skipped="no ready replica")] * 2, retries=0)
    assert [(attempt.target, attempt.ordinal) for attempt in made] == [(OWN, 1), (BOUGHT, 1), (BOUGHT_TOO, 1)]


def test_a_spent_budget_ends_it() -> None:
    """Without a retry to spend the first failure is the answer."""
    assert len(drive([OWN, BOUGHT], [GONE], retries=0)) == 1


def test_no_targets_no_attempts() -> None:
    """An empty chain yields nothing."""
    assert drive([], []) == []


OUTCOMES = st.builds(
    Outcome,
    answered=st.booleans(),
    first_byte_sent=st.booleans(),
    error=st.sampled_from(
        [
            None,
            EngineUnavailable("x"),
            UpstreamTimeout("connect", 1.0),
            UpstreamTimeout("ttft", 1.0),
            UpstreamRejected(400, b""),
            UpstreamRejected(500, b""),
            StreamBroken("x"),
        ]
    ),
    skipped=st.sampled_from([None, None, "breaker open"]),
    replica_id=st.sampled_from([None, "r1", "r2", "r3"]),
)


@given(
    targets=st.lists(st.sampled_from([OWN, BOUGHT, BOUGHT_TOO]), max_size=5),
    outcomes=st.lists(OUTCOMES, max_size=20),
    replicas_per_pool=st.integers(1, 4),
    retries=st.integers(0, 10),
)
def test_whatever_happens_the_rules_hold(
    targets: list[Target], outcomes: list[Outcome], replicas_per_pool: int, retries: int
) -> None:
    """After the first byte never a second attempt; bounded per pool; order kept; retries within the budget."""
    made = drive(targets, outcomes, replicas_per_pool=replicas_per_pool, retries=retries)
    for index, outcome in enumerate(outcomes[: len(made)]):
        if outcome.first_byte_sent or outcome.answered:
            assert len(made) == index + 1
    assert len(made) <= sum(replicas_per_pool if target.kind is TargetKind.OWN else 1 for target in targets)
    remaining = iter(targets)
    current = None
    for attempt in made:
        if attempt.target is not current or attempt.target.kind is TargetKind.EXTERNAL:
            assert any(attempt.target is target for target in remaining)
            current = attempt.target
    assert all(attempt.ordinal <= 1 + retries for attempt in made)
    ordinals = [attempt.ordinal for attempt in made]
    assert ordinals == sorted(ordinals)


def test_the_retry_budget_is_a_share_of_active_requests_plus_three() -> None:
    """Three retries on an idle gateway, 23 with a hundred in flight; ended requests give theirs back."""
    budget = RetryBudget()
    assert [budget.take(0) for _ in range(4)] == [True, True, True, False]
    assert sum(budget.take(100) for _ in range(50)) == 20
    assert budget.retrying == 23
    budget.give_back(23)
    assert budget.retrying == 0
    budget.give_back(1)
    assert budget.retrying == 0
