"""The keys of providers: which one a call goes out with, and what its answer says about that key.

State belongs to the key itself: two providers that name the same one share it. Of a provider with `shared_quota` all
keys rest together when one is told that there were too many calls; otherwise the others go on. A key that is refused
(`routing.key_faults`) is dead after that one call and is tried again quietly, by one call, ever more seldom.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import structlog

from controller.core.errors import UpstreamError, UpstreamRejected
from controller.core.models import Provider
from controller.core.secret import Secret
from controller.gateway.breakers import is_connection
from controller.gateway.destinations import SIMULATED
from controller.gateway.exchange import Skip
from controller.routing.breaker import BreakerPolicy, BreakerState, after, allows, hold, started
from controller.routing.key_faults import is_key_refused
from controller.routing.throttle import Quota, Throttle
from controller.telemetry.provider_metrics import KeyState

log = structlog.get_logger()

HEALTH = BreakerPolicy(open_s=5.0, open_max_s=10.0)  # an outage is over for us soon after it is over
DEATH = BreakerPolicy(failures_to_open=1, open_s=60.0, open_max_s=600.0)
NO_TIME_HOLD_S = 0.2  # a provider's 429 that does not say for how long; the throttle does the rest
MIN_RETRY_S = 1.0
_TOO_MANY = frozenset({429, 503, 529})
_CLOSED = BreakerState()


class Account:
    """What keys that share a quota have in common."""

    __slots__ = ("broke_at_s", "health", "in_flight", "requests", "throttle", "tokens")

    def __init__(self, provider: Provider, now_s: float) -> None:
        per_min, tokens_per_min = provider.requests_per_min, provider.tokens_per_min
        self.requests = None if per_min is None else Quota(per_min, now_s)
        self.tokens = None if tokens_per_min is None else Quota(tokens_per_min, now_s)
        self.throttle = Throttle()
        self.health = _CLOSED
        self.in_flight = 0
        self.broke_at_s: float | None = None

    def takes(self, provider: Provider, now_s: float) -> None:
        """The limits per minute are those of `provider` from now on; new ones begin with nothing used."""
        per_min, tokens_per_min = provider.requests_per_min, provider.tokens_per_min
        self.requests = None if per_min is None else Quota(per_min, now_s)
        self.tokens = None if tokens_per_min is None else Quota(tokens_per_min, now_s)


class Credential:
    """One key. `name` says which without saying it."""

    __slots__ = ("account", "life", "name", "secret")

    def __init__(self, name: str, secret: Secret, account: Account) -> None:
        self.name = name
        self.secret = secret
        self.account = account
        self.life = _CLOSED

    def rest_s(self, tokens: int, now_s: float) -> tuple[float, str]:
        """How long it must not be used, 0 for not at all, and why."""
        account = self.account
        for state, policy, why in ((self.life, DEATH, "its key is refused"), (account.health, HEALTH, "it rests")):
            if state is not _CLOSED and not allows(state, policy, now_s):
                until_s = max(state.held_until_s, state.open_until_s or 0.0)
                return max(until_s - now_s, MIN_RETRY_S), why
        if not account.throttle.allows(account.in_flight):
            return MIN_RETRY_S, "it bears no more calls at a time"
        for quota, amount, what in ((account.requests, 1, "requests"), (account.tokens, tokens, "tokens")):
            wait_s = 0.0 if quota is None else quota.wait_s(amount, now_s)
            if wait_s:
                return wait_s, f"its limit of {what} per minute is used up"
        return 0.0, ""

    def state(self, now_s: float) -> KeyState:
        """What an operator wants to know of it."""
        if self.life.open_until_s is not None:
            return KeyState.REFUSED
        return KeyState.GOOD if allows(self.account.health, HEALTH, now_s) else KeyState.RESTING

    def started(self, tokens: int, now_s: float) -> None:
        """A call goes out."""
        account = self.account
        account.in_flight += 1
        if account.requests is not None:
            account.requests.take(1)
        if account.tokens is not None:
            account.tokens.take(tokens)
        account.health = started(account.health, HEALTH, now_s)
        self.life = started(self.life, DEATH, now_s)

    def ended(self) -> None:
        """It is over; `answered`, `failed` or `left` says what came of it."""
        self.account.in_flight -= 1

    def left(self) -> None:
        """Nobody waited for the end of it: if it was a probe, another one may go."""
        account = self.account
        if account.health.probe_until_s is not None:
            account.health = replace(account.health, probe_until_s=None)
        if self.life.probe_until_s is not None:
            self.life = replace(self.life, probe_until_s=None)

    def answered(self, now_s: float) -> None:
        """It was answered."""
        account = self.account
        account.throttle.answered(account.in_flight + 1)
        if account.health is not _CLOSED:
            account.health = _tidy(after(account.health, HEALTH, ok=True, now_s=now_s), now_s)
        self._lives(now_s)

    def failed(self, error: UpstreamError, started_s: float, now_s: float) -> None:
        """It was not answered."""
        account = self.account
        if isinstance(error, UpstreamRejected):
            if is_key_refused(error):
                if self.life is _CLOSED:
                    log.warning("provider_key_refused", key=self.name, status=error.status)
                self.life = after(self.life, DEATH, ok=False, now_s=now_s)
                return
            self._lives(now_s)
            if error.status in _TOO_MANY:
                account.throttle.refused(account.in_flight + 1, now_s)
            if error.status < 500:
                account.health = after(account.health, HEALTH, ok=True, now_s=now_s)
                if error.status == 429:
                    wait_s = NO_TIME_HOLD_S if error.retry_after_s is None else error.retry_after_s
                    account.health = hold(account.health, now_s + min(wait_s, HEALTH.hold_max_s))
                return
        elif is_connection(error):
            if account.broke_at_s is not None and started_s <= account.broke_at_s:
                return
            account.broke_at_s = now_s
        account.health = after(account.health, HEALTH, ok=False, now_s=now_s)
        if account.health.open_until_s is not None:
            account.throttle.restart()

    def _lives(self, now_s: float) -> None:
        if self.life is not _CLOSED:
            log.info("provider_key_accepted", key=self.name)
            self.life = _tidy(after(self.life, DEATH, ok=True, now_s=now_s), now_s)


def _limits(provider: Provider) -> tuple[int | None, int | None]:
    return provider.requests_per_min, provider.tokens_per_min


def _tidy(state: BreakerState, now_s: float) -> BreakerState:
    """The common value for a state that says nothing."""
    if state.failures == 0 and state.open_until_s is None and state.held_until_s <= now_s:
        return _CLOSED
    return state


class Credentials:
    """All of them. `keys` is read anew for each call, so that keys change while the gateway runs."""

    def __init__(self, keys: Mapping[str, Sequence[Secret]]) -> None:
        self._keys = keys
        self._seen: dict[str, Sequence[Secret]] = {}  # by provider
        self._stand_ins: dict[str, Sequence[Secret]] = {}
        self._known: dict[str, tuple[Credential, ...]] = {}

    def reconfigure(self, before: Mapping[str, Provider], now: Mapping[str, Provider], now_s: float) -> None:
        """Keys of providers that stay keep what is known of them; their limits per minute are the new ones."""
        for name in [name for name in self._known if name not in now]:
            for table in (self._known, self._seen, self._stand_ins):
                table.pop(name, None)
        for name, provider in now.items():
            former = before.get(name)
            if former is None or former is provider or name not in self._known:
                continue
            if former.shared_quota != provider.shared_quota:
                self._regroup(provider, now_s)
            elif _limits(former) != _limits(provider):
                for account in {id(one.account): one.account for one in self._known[name]}.values():
                    account.takes(provider, now_s)
            if former.simulated != provider.simulated:
                del self._seen[name]

    def _regroup(self, provider: Provider, now_s: float) -> None:
        """Keys that share a quota from now on, or no more. Calls under way end at the accounts they began with."""
        shared = Account(provider, now_s) if provider.shared_quota else None
        found = []
        for before in self._known[provider.name]:
            credential = Credential(before.name, before.secret, shared or Account(provider, now_s))
            credential.life = before.life
            found.append(credential)
        self._known[provider.name] = tuple(found)

    def of(self, provider: Provider, now_s: float) -> tuple[Credential, ...]:
        """Those of a provider."""
        secrets = self._stand_in(provider) if provider.simulated else self._keys.get(provider.name, ())
        if self._seen.get(provider.name) != secrets:
            self._adopt(provider, secrets, now_s)
        return self._known.get(provider.name, ())

    def _stand_in(self, provider: Provider) -> Sequence[Secret]:
        """No real key goes to it, and no two providers are one there."""
        found = self._stand_ins.get(provider.name)
        if found is None:
            found = self._stand_ins[provider.name] = (Secret(f"{SIMULATED} {provider.name}"),)
        return found

    def _adopt(self, provider: Provider, secrets: Sequence[Secret], now_s: float) -> None:
        """New keys begin anew; those that stay, here or at another provider, keep what is known of them."""
        known = {credential.secret: credential for found in self._known.values() for credential in found}
        shared: Account | None = None
        if provider.shared_quota and provider.name in self._known and self._known[provider.name]:
            shared = self._known[provider.name][0].account
        found = []
        for number, secret in enumerate(secrets, 1):
            credential = known.get(secret)
            if credential is None:
                account = shared or Account(provider, now_s)
                name = provider.name if number == 1 else f"{provider.name}#{number}"
                credential = Credential(name, secret, account)
            if provider.shared_quota:
                shared = shared or credential.account
            found.append(credential)
        self._known[provider.name] = tuple(found)
        self._seen[provider.name] = secrets

    def pick(self, provider: Provider, tokens: int, now_s: float) -> Credential | Skip:
        """The usable key with the fewest calls under way, or why there is none and for how long."""
        best: Credential | None = None
        wait_s, why = MIN_RETRY_S, "it has no key"
        for index, credential in enumerate(self.of(provider, now_s)):
            rest_s, words = credential.rest_s(tokens, now_s)
            if rest_s:
                if not index or rest_s < wait_s:
                    wait_s, why = rest_s, words
            elif best is None or credential.account.in_flight < best.account.in_flight:
                best = credential
        if best is not None:
            return best
        return Skip(
            target=provider.name,
            code="breaker",
            reason=f"it is left alone for {max(MIN_RETRY_S, wait_s):.0f} s: {why}",
            retry_after_s=max(MIN_RETRY_S, wait_s),
        )

    def states(self, providers: Collection[Provider], now_s: float) -> dict[tuple[str, KeyState], int]:
        """How many keys of each provider are in each state."""
        found = {(provider.name, state): 0 for provider in providers for state in KeyState}
        for provider in providers:
            for credential in self.of(provider, now_s):
                found[provider.name, credential.state(now_s)] += 1
        return found

    def closed_to(self, now_s: float) -> dict[str, float]:
        """Names of keys that are not used now, and for how long yet."""
        rests = {
            credential.name: round(credential.rest_s(0, now_s)[0], 3)
            for found in self._known.values()
            for credential in found
        }
        return {name: rest_s for name, rest_s in rests.items() if rest_s}
