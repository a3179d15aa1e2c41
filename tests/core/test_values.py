"""Errors, step times, targets and views."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import (
    ConfigError,
    EngineUnavailable,
    ErrorSource,
    Problem,
    RequestError,
    SpillwayError,
    StreamBroken,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from controller.core.fleet import FleetView, PoolView, Replica, ReplicaState, RoutingMode
from controller.core.models import SELF_HOSTED, Dialect, Model, Provider, StepTimes
from controller.core.money import Price
from controller.core.pools import EngineArgs, Pool, ScalePolicy, Slo, SpillPolicy
from controller.core.requests import Target, TargetKind

PRICE = Price(
    usd_per_mtok_in=Decimal(1),
    usd_per_mtok_out=Decimal(2),
    usd_per_mtok_cached_in=Decimal(1),
    source="test",
    as_of=date(2026, 11, 1),
)
STEPS = StepTimes(
    alpha_ms=20.0,
    beta_ms_per_seq=0.5,
    gamma_ms_per_1k_context=1.0,
    correction=1.1,
    p0_ms=10.0,
    p1_ms_per_1k=200.0,
    p2_ms_per_1k_sq=3.0,
    kv_cache_tokens=1000,
)


def model(provider: str) -> Model:
    """A catalogue entry."""
    return Model(
        key="m",
        provider=provider,
        model_id="m-id",
        tier=1,
        capabilities=frozenset(),
        context_tokens=1,
        max_output_tokens=1,
        price=PRICE,
    )


@pytest.mark.parametrize(
    ("file", "line", "value", "text"),
    [
        ("a.yaml", 3, "9", "a.yaml:3: phase: unknown phase (got 9); allowed: phase1"),
        ("a.yaml", None, "9", "a.yaml: phase: unknown phase (got 9); allowed: phase1"),
        (None, None, None, "phase: unknown phase; allowed: phase1"),
    ],
    ids=["line", "file", "bare"],
)
def test_a_problem_says_where_what_and_what_is_allowed(
    file: str | None, line: int | None, value: str | None, text: str
) -> None:
    """As much of the place as is known."""
    problem = Problem(file=file, line=line, key="phase", value=value, allowed="phase1", message="unknown phase")
    assert str(problem) == text
    assert problem.severity == "error"


def test_a_config_error_carries_every_problem() -> None:
    """One line each."""
    problems = tuple(
        Problem(file=None, line=None, key=key, value=None, allowed="x", message="wrong") for key in ("a", "b")
    )
    error = ConfigError(problems)
    assert error.problems == problems
    assert str(error).splitlines() == ["a: wrong; allowed: x", "b: wrong; allowed: x"]


def test_a_refusal_carries_what_the_caller_must_know() -> None:
    """Defaults leave the SDK its own retry rule and blame the request."""
    error = RequestError("no", status=400, code="bad")
    assert (error.kind, error.param, error.retry_after_s, error.should_retry) == (
        "invalid_request_error",
        None,
        None,
        None,
    )
    assert (str(error), error.source) == ("no", ErrorSource.GATEWAY)


def test_upstream_errors_say_what_happened() -> None:
    """Phase and seconds of a timeout, status of a rejection; all are one family."""
    timeout = UpstreamTimeout("connect", 1.5)
    rejected = UpstreamRejected(429, b"slow down", 3.0)
    assert (str(timeout), timeout.phase, timeout.after_s) == ("connect timeout after 1.5 s", "connect", 1.5)
    assert (str(rejected), rejected.body, rejected.retry_after_s) == ("upstream answered 429", b"slow down", 3.0)
    for error in (timeout, rejected, EngineUnavailable("x"), StreamBroken("x")):
        assert isinstance(error, UpstreamError)
        assert isinstance(error, SpillwayError)


@pytest.mark.parametrize(
    ("decodes", "context", "prefill", "seconds"),
    [
        (0, 0, 0, 0.0),
        (0, 0, 1000, 0.213),
        (0, 9000, 2000, 0.422),
        (10, 4000, 0, 0.0319),
        (10, 4000, 1000, 0.2349),
    ],
    ids=["idle", "prefill", "prefill-only-ignores-context", "decode", "mixed"],
)
def test_a_step_takes_what_the_fit_says(decodes: int, context: int, prefill: int, seconds: float) -> None:
    """The formula of the docstring, by hand."""
    assert STEPS.step_s(decodes, context, prefill) == pytest.approx(seconds)


@given(st.integers(0, 256), st.integers(0, 10**6), st.integers(0, 10**5))
def test_more_decodes_context_or_prefill_never_take_less(decodes: int, context: int, prefill: int) -> None:
    """Step time grows with each kind of work, once there are decodes."""
    base = STEPS.step_s(decodes + 1, context, prefill)
    assert STEPS.step_s(decodes + 2, context, prefill) >= base
    assert STEPS.step_s(decodes + 1, context + 1, prefill) >= base
    assert STEPS.step_s(decodes + 1, context, prefill + 1) >= base


def test_a_model_is_own_when_our_pools_serve_it() -> None:
    """By its provider's name."""
    assert model(SELF_HOSTED).is_own
    assert not model("openai").is_own


def test_a_target_is_named_for_its_pool_or_provider() -> None:
    """Own by the pool, external by the provider, and empty for neither."""
    pool = Pool(
        name="llama-8b",
        model="m",
        instance_type="g5.2xlarge",
        engine=EngineArgs(),
        slo=Slo(ttft_p95_s=1.0, tpot_p95_s=0.05),
        scale=ScalePolicy(),
        spill=SpillPolicy(),
    )
    provider = Provider(name="openai", dialect=Dialect.OPENAI, base_url="https://x.test/v1", api_key_env="X")
    own = Target(model=model(SELF_HOSTED), pool=pool, provider=None, reason="")
    bought = Target(model=model("openai"), pool=None, provider=provider, reason="")
    neither = Target(model=model("openai"), pool=None, provider=None, reason="")
    assert (own.kind, own.name) == (TargetKind.OWN, "llama-8b")
    assert (bought.kind, bought.name) == (TargetKind.EXTERNAL, "openai")
    assert neither.name == ""


def test_a_pool_view_counts_replicas_by_state() -> None:
    """Each state by itself."""
    states = [ReplicaState.READY, ReplicaState.READY, ReplicaState.WARMING]
    replicas = tuple(
        Replica(replica_id=str(index), pool="p", url="http://x", state=state, started_at_s=0.0)
        for index, state in enumerate(states)
    )
    view = PoolView(name="p", replicas=replicas)
    assert [view.count(state) for state in ReplicaState] == [1, 2, 0, 0]


def test_an_empty_fleet_is_local_and_knows_nothing() -> None:
    """Defaults: no pools; a pool without news is Local, and unknown is None."""
    assert FleetView().pools == {}
    assert PoolView(name="p").mode is RoutingMode.LOCAL
    assert PoolView(name="p").saturation_ratio is None
