"""Keys of providers: which one is used, how long one rests, which ones rest together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller.core.errors import EngineUnavailable, UpstreamError, UpstreamRejected, UpstreamTimeout
from controller.core.models import Provider
from controller.core.secret import Secret
from controller.gateway.credentials import Credential, Credentials
from controller.gateway.exchange import Skip
from controller.telemetry.provider_metrics import KeyState
from tests.gateway.gateway_builders import ANTHROPIC, OPENAI, named

NOW_S = 100.0
QUOTA_GONE = UpstreamRejected(429, b'{"error":{"code":"insufficient_quota"}}')
CREDIT_GONE = UpstreamRejected(
    400, b'{"error":{"type":"invalid_request_error","message":"Your credit balance is too low to access"}}'
)


def rejected(status: int, retry_after_s: float | None = None) -> UpstreamRejected:
    """An answer with an error status."""
    return UpstreamRejected(status, b"", retry_after_s)


def told(*texts: str) -> tuple[Secret, ...]:
    """Keys of these texts."""
    return tuple(Secret(text) for text in texts)


class Keys:
    """The keys of one provider, and calls with them."""

    def __init__(self, *secrets: str, provider: Provider = OPENAI) -> None:
        self.live: dict[str, Sequence[Secret]] = {provider.name: told(*(secrets or ("a",)))}
        self.provider = provider
        self.credentials = Credentials(self.live)

    def pick(self, now_s: float = NOW_S, tokens: int = 0) -> Credential | Skip:
        """Who goes next."""
        return self.credentials.pick(self.provider, tokens, now_s)

    def used(self, now_s: float = NOW_S) -> str | None:
        """Its secret; None when all rest."""
        found = self.pick(now_s)
        return None if isinstance(found, Skip) else found.secret.reveal()

    def call(self, outcome: UpstreamError | None = None, now_s: float = NOW_S) -> Credential:
        """One call from start to end."""
        found = self.pick(now_s)
        assert isinstance(found, Credential)
        found.started(0, now_s)
        found.ended()
        if outcome is None:
            found.answered(now_s)
        else:
            found.failed(outcome, now_s, now_s)
        return found


HOLDS = {
    # the provider's word: what is heard, how long nobody calls with that key
    "seconds": (rejected(429, 20.0), 20.0),
    "10^9": (rejected(429, 1e9), 300.0),
    "none": (rejected(429), 0.2),
    "a date that is past": (rejected(429, 0.0), 0.0),
    "refused": (rejected(401), 60.0),
    "nothing paid": (rejected(402), 60.0),
    "forbidden": (rejected(403), 60.0),
    "out of quota": (QUOTA_GONE, 60.0),
    "out of credit": (CREDIT_GONE, 60.0),
}


@pytest.mark.parametrize(("error", "wait_s"), HOLDS.values(), ids=HOLDS.keys())
def test_a_key_rests_and_the_others_go_on(error: UpstreamError, wait_s: float) -> None:
    """No call with it inside that time; none at all is lost, as the other key takes them."""
    keys = Keys("a", "b")
    assert keys.call(error).secret.reveal() == "a"
    for later_s in (0.0, wait_s * 0.5, wait_s * 0.99):
        if wait_s:
            assert keys.used(NOW_S + later_s) == "b"
    assert keys.used(NOW_S + wait_s) == "a"


def test_keys_that_share_a_quota_rest_together() -> None:
    """But a key that is refused dies alone."""
    shared = Keys("a", "b", provider=named("openai", shared_quota=True))
    shared.call(rejected(401))
    assert shared.used() == "b"
    shared.call(rejected(429, 20.0))
    assert shared.used() is None
    assert shared.used(NOW_S + 20.0) == "b"
    assert shared.credentials.closed_to(NOW_S) == {"openai": 60.0, "openai#2": 20.0}


def test_one_key_under_two_names() -> None:
    """What one provider's name learns of it, the other knows."""
    other = named("openai-eu")
    credentials = Credentials({"openai": told("a"), "openai-eu": told("a", "b")})
    first = credentials.pick(OPENAI, 0, NOW_S)
    assert isinstance(first, Credential)
    first.started(0, NOW_S)
    first.ended()
    first.failed(rejected(429, 20.0), NOW_S, NOW_S)
    second = credentials.pick(other, 0, NOW_S)
    assert isinstance(second, Credential)
    assert second.secret.reveal() == "b"


def test_a_dead_key_is_tried_quietly() -> None:
    """One call after a minute, then after two, up to ten; a good answer brings it back."""
    keys, now_s, gaps = Keys(), NOW_S, list[float]()
    for _ in range(6):
        keys.call(rejected(401), now_s)
        skip = keys.pick(now_s)
        assert isinstance(skip, Skip)
        assert "its key is refused" in skip.reason
        assert skip.retry_after_s is not None
        gaps.append(skip.retry_after_s)
        now_s += skip.retry_after_s
    assert gaps == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
    probe = keys.pick(now_s)
    assert isinstance(probe, Credential)
    probe.started(0, now_s)
    assert keys.used(now_s) is None
    probe.ended()
    probe.answered(now_s)
    assert keys.used(now_s) == "a"


def test_a_probe_that_nobody_waits_for() -> None:
    """Lets another one go at once, for a dead key and for a provider that was down."""
    for error in (rejected(401), *[rejected(500)] * 5):
        keys = Keys()
        for _ in range(1 if error.status == 401 else 5):
            keys.call(error)
        probe = keys.pick(NOW_S + 60.0)
        assert isinstance(probe, Credential)
        probe.started(0, NOW_S + 60.0)
        assert keys.used(NOW_S + 60.0) is None
        probe.ended()
        probe.left()
        assert keys.used(NOW_S + 60.0) == "a"


def test_a_key_that_changes() -> None:
    """The new one begins anew, the old one's death is forgotten with it, and those that stay keep their state."""
    keys = Keys("a", "b")
    keys.call(rejected(401))
    keys.call(rejected(429, 50.0))
    assert keys.used() is None
    keys.live["openai"] = told("new", "b")
    assert keys.used() == "new"
    keys.live["openai"] = told("b")
    assert keys.used() is None
    keys.live["openai"] = ()
    skip = keys.pick()
    assert isinstance(skip, Skip)
    assert "it has no key" in skip.reason


OUTAGES: dict[str, UpstreamError] = {
    "500": rejected(500),
    "503": rejected(503),
    "overloaded": rejected(529),
    "late": UpstreamTimeout("ttft", 60.0),
}


@pytest.mark.parametrize("error", OUTAGES.values(), ids=OUTAGES.keys())
def test_five_failures_open_it_for_five_seconds(error: UpstreamError) -> None:
    """Then one call is let through, and after it two at a time, and so on."""
    keys = Keys()
    for _ in range(5):
        assert keys.used() == "a"
        keys.call(error)
    assert keys.used(NOW_S + 4.9) is None
    probe = keys.pick(NOW_S + 5.0)
    assert isinstance(probe, Credential)
    probe.started(0, NOW_S + 5.0)
    probe.ended()
    probe.answered(NOW_S + 5.1)
    for _ in range(2):
        call = keys.pick(NOW_S + 5.1)
        assert isinstance(call, Credential)
        call.started(0, NOW_S + 5.1)
    assert keys.used(NOW_S + 5.1) is None


def test_connections_that_break_together_are_one_failure() -> None:
    """However many calls were under way."""
    keys = Keys()
    credential = keys.pick()
    assert isinstance(credential, Credential)
    for _ in range(50):
        credential.failed(EngineUnavailable("gone"), NOW_S, NOW_S + 1.0)
    assert keys.used(NOW_S + 1.0) == "a"
    for second in range(2, 6):
        credential.failed(EngineUnavailable("gone"), NOW_S + second, NOW_S + second)
    assert keys.used(NOW_S + 6.0) is None


def test_a_request_at_fault_is_nobodys_failure() -> None:
    """However often, the key is good."""
    keys = Keys()
    for _ in range(50):
        keys.call(rejected(400))
    assert keys.used() == "a"
    assert keys.credentials.closed_to(NOW_S) == {}


def test_the_limits_of_a_provider_are_kept() -> None:
    """Requests and tokens per minute, by the key; a refusal says which, and when there is more."""
    keys = Keys("a", provider=named("openai", requests_per_min=60))
    for _ in range(10):
        keys.call()
    skip = keys.pick()
    assert isinstance(skip, Skip)
    assert "its limit of requests per minute is used up" in skip.reason
    assert skip.retry_after_s == 1.0
    assert keys.used(NOW_S + 1.0) == "a"
    tokens = Keys("a", provider=replace(OPENAI, tokens_per_min=600))
    found = tokens.pick(tokens=80)
    assert isinstance(found, Credential)
    found.started(80, NOW_S)
    assert isinstance(tokens.pick(tokens=80), Skip)
    assert isinstance(tokens.pick(tokens=20), Credential)


def test_the_key_with_the_fewest_calls_goes_next() -> None:
    """So that two quotas are used alike."""
    keys, used = Keys("a", "b"), list[str]()
    for _ in range(6):
        found = keys.pick()
        assert isinstance(found, Credential)
        found.started(0, NOW_S)
        used.append(found.secret.reveal())
    assert used == ["a", "b"] * 3


def test_simulated_providers_are_not_one() -> None:
    """Each has its own state, although none has a key."""
    credentials = Credentials({})
    first, second = named("openai", simulated=True), replace(ANTHROPIC, simulated=True)
    found = credentials.pick(first, 0, NOW_S)
    assert isinstance(found, Credential)
    found.failed(rejected(429, 50.0), NOW_S, NOW_S)
    assert isinstance(credentials.pick(first, 0, NOW_S), Skip)
    assert isinstance(credentials.pick(second, 0, NOW_S), Credential)


def test_the_state_of_keys() -> None:
    """Each is good, resting or refused; one that is tried again stays refused until it is accepted."""
    keys = Keys("a", "b", "c")

    def states(now_s: float) -> dict[str, int]:
        found = keys.credentials.states([OPENAI, named("groq")], now_s)
        assert {state for provider, state in found if provider == "groq"} == set(KeyState)
        return {str(state): count for (provider, state), count in found.items() if provider == "openai" and count}

    assert states(NOW_S) == {"good": 3}
    keys.call(rejected(401))
    keys.call(rejected(429, 20.0))
    assert states(NOW_S) == {"good": 1, "resting": 1, "refused": 1}
    assert states(NOW_S + 60.0) == {"good": 2, "refused": 1}
    assert keys.call(None, NOW_S + 60.0).secret.reveal() == "a"
    assert states(NOW_S + 60.0) == {"good": 3}
