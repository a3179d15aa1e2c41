"""What is found of a pool for each of its conditions: holds or not, the reason in a word, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.core.fleet import PoolView, Replica, ReplicaState, RoutingMode
from controller.modelpool.facts import Obstacle, PoolFacts, refusal, sentence, trouble_words
from controller.modelpool.objects import instant_text
from controller.modelpool.spelling import PoolSpelling

READY, RECONCILING, STALLED = "Ready", "Reconciling", "Stalled"
SPILLING, SCALING_LIMITED = "Spilling", "ScalingLimited"
CAPACITY_UNAVAILABLE, PAUSED = "CapacityUnavailable", "Paused"
TYPES = (READY, RECONCILING, STALLED, SPILLING, SCALING_LIMITED, CAPACITY_UNAVAILABLE, PAUSED)
INVALID_SPEC = "InvalidSpec"
NO_NODE = "no node"  # how a replica says that its pod finds none
_UNSEEN = "The controller has not looked at this pool yet."
_LEFT_OUT = "Nothing is done with a refused spec."
_IN_WORDS = {  # what decisions say in one word
    "no_data": "nothing is known of its load, so what was decided stands",
    "no_ready_replica": "no replica is ready",
    "pinned": "an operator has pinned it",
    "dwell": "the mode stands for its dwell time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One condition without its times. `holds` None: unknown."""

    holds: bool | None
    reason: str
    message: str


def findings(
    facts: PoolFacts, view: PoolView | None, now_s: float, *, was_short: bool = False
) -> Mapping[str, Finding]:
    """Of each condition, in their order. `was_short`: capacity was unavailable until now."""
    return {
        READY: _ready(facts, view),
        RECONCILING: _reconciling(facts, view),
        STALLED: _stalled(facts),
        SPILLING: _spilling(facts, view, now_s),
        SCALING_LIMITED: _scaling_limited(facts, view),
        CAPACITY_UNAVAILABLE: _capacity_unavailable(facts, view, was_short=was_short),
        PAUSED: _paused(facts, now_s),
    }


def in_words(reason: str) -> str:
    """The reason of a decision as somebody reads it who knows no code."""
    return _IN_WORDS.get(reason, reason)


def _unknown(facts: PoolFacts, words: str) -> Finding:
    """Nothing is known, as the spec is refused, or not yet."""
    if facts.is_left_out:
        return Finding(holds=None, reason=INVALID_SPEC, message=_LEFT_OUT)
    return Finding(holds=None, reason="Pending", message=words)


def _ready(facts: PoolFacts, view: PoolView | None) -> Finding:
    if facts.errors:
        return Finding(holds=False, reason=INVALID_SPEC, message=refusal(facts))
    missing = next((one for one in facts.troubles if one.obstacle is Obstacle.TARGET_NOT_FOUND), None)
    if missing is not None:
        return Finding(holds=False, reason=missing.obstacle, message=trouble_words(missing))
    if view is None:
        return Finding(holds=None, reason="Pending", message=_UNSEEN)
    ready, warming = view.count(ReplicaState.READY), view.count(ReplicaState.WARMING)
    if ready:
        warned = " ".join(sentence(one) for one in facts.warnings)
        return Finding(holds=True, reason="Serving", message=_joined(f"Replicas that serve: {ready}.", warned))
    if view.desired_replicas == 0:
        return Finding(holds=True, reason="ScaledToZero", message="It has no replicas on purpose; its work is bought.")
    reason = "Starting" if warming else "NoReadyReplica"
    words = f"No replica serves; {warming} of {view.desired_replicas or 0} start{_why_warming(view)}."
    return Finding(holds=False, reason=reason, message=words)


def _reconciling(facts: PoolFacts, view: PoolView | None) -> Finding:
    if facts.is_left_out:
        return Finding(holds=False, reason=INVALID_SPEC, message=_LEFT_OUT)
    if view is None:
        return _unknown(facts, _UNSEEN)
    ready, warming = view.count(ReplicaState.READY), view.count(ReplicaState.WARMING)
    draining = view.count(ReplicaState.DRAINING)
    if warming:
        return Finding(holds=True, reason="Starting", message=f"Replicas that start: {warming}{_why_warming(view)}.")
    if draining:
        return Finding(holds=True, reason="Draining", message=f"Replicas that finish their last requests: {draining}.")
    if facts.troubles:
        return Finding(holds=False, reason="Stalled", message="What was decided cannot be done: see Stalled.")
    if view.desired_replicas is not None and ready > view.desired_replicas:
        return Finding(holds=True, reason="Shrinking", message=f"{ready} serve and {view.desired_replicas} shall.")
    if view.desired_replicas is not None and ready < view.desired_replicas and not view.missing_replicas:
        return Finding(holds=True, reason="Growing", message=f"{ready} serve and {view.desired_replicas} shall.")
    return Finding(holds=False, reason="AsDecided", message="Nothing starts or drains.")


def _stalled(facts: PoolFacts) -> Finding:
    if facts.errors:
        return Finding(holds=True, reason=INVALID_SPEC, message=refusal(facts))
    if facts.troubles:
        first = min(facts.troubles, key=lambda one: (list(Obstacle).index(one.obstacle), one.message))
        return Finding(holds=True, reason=first.obstacle, message=trouble_words(first))
    return Finding(holds=False, reason="Unobstructed", message="Nothing keeps the controller from its decisions.")


def _spilling(facts: PoolFacts, view: PoolView | None, now_s: float) -> Finding:
    if view is None or facts.pool is None:
        return _unknown(facts, "Gateways have no word yet on where requests go.")
    warned = " ".join(sentence(one) for one in facts.chain_warnings)
    if view.mode is RoutingMode.LOCAL:
        found = Finding(
            holds=False, reason="Fits", message=_joined("Requests stay at home but those that would be late.", warned)
        )
        if not facts.pool.spill.to:
            words = "`spec.spill.to` is empty: requests that do not fit wait."
            return replace(found, reason="NoTargets", message=words)
        return replace(found, reason="TargetUnusable") if warned else found
    share = "All requests leave" if view.spill_ratio >= 1 else f"{spill_percent(view)} percent of the requests leave"
    words = _joined(f"{share}: {in_words(view.mode_reason) or 'no reason given'}.", warned)
    return Finding(holds=True, reason=_why_spilling(facts, view, now_s), message=words)


def _why_spilling(facts: PoolFacts, view: PoolView, now_s: float) -> str:
    pin = facts.pin
    if pin is not None and pin.pin.routing is not None and pin.is_in_force(now_s):
        return "Pinned"
    return "Saturated" if view.count(ReplicaState.READY) else "NoReadyReplica"


def _scaling_limited(facts: PoolFacts, view: PoolView | None) -> Finding:
    pool = facts.pool
    if view is None or pool is None or view.wanted_replicas is None or view.desired_replicas is None:
        return _unknown(facts, "No number of replicas has been decided yet.")
    wanted, final, scale = view.wanted_replicas, view.desired_replicas, pool.scale
    words = f"{wanted} are wanted and {final} shall be: {'; '.join(map(PoolSpelling().words, view.constraints))}."
    if wanted > scale.max_replicas and final == scale.max_replicas:
        words = (
            f"{wanted} are wanted, and `spec.replicas.max` is {scale.max_replicas}. Raise it, or let the rest spill."
        )
        return Finding(holds=True, reason="TooManyReplicas", message=words)
    if wanted < scale.min_replicas and final == scale.min_replicas:
        words = f"{wanted} would do, and `spec.replicas.min` is {scale.min_replicas}. Lower it to save the difference."
        return Finding(holds=True, reason="TooFewReplicas", message=words)
    if wanted > final:
        return Finding(holds=True, reason="HeldBack", message=words)
    return Finding(
        holds=False, reason="DesiredWithinRange", message="No limit stands against the number that is wanted."
    )


def _capacity_unavailable(facts: PoolFacts, view: PoolView | None, *, was_short: bool) -> Finding:
    """Holds from when replicas find no node or do not come until those that are wanted have an address or serve.

    Those that do not come are tried again by and by; each try alone ends nothing.
    """
    if view is None:
        return _unknown(facts, _UNSEEN)
    if facts.troubles:
        return Finding(holds=None, reason="Stalled", message="Nothing can be started: see Stalled.")
    homeless = [one for one in view.replicas if _has_no_node(one)]
    mend = "Their work is bought meanwhile; add nodes of this instance type, or lower `spec.replicas.max`."
    if homeless:
        words = f"Replicas without a node: {len(homeless)}; {homeless[0].reason}. {mend}"
        return Finding(holds=True, reason="Unschedulable", message=words)
    if view.missing_replicas:
        words = f"Replicas that would pay and do not come: {view.missing_replicas}. {mend}"
        return Finding(holds=True, reason="NotComing", message=words)
    if was_short and not _has_come(view):
        return Finding(holds=True, reason="NotComing", message=f"Replicas were asked for again. {mend}")
    return Finding(holds=False, reason="Available", message="Every replica that is wanted runs or starts.")


def _has_come(view: PoolView) -> bool:
    """Whether all that are wanted serve, or have a pod with an address."""
    warming = [one for one in view.replicas if one.state is ReplicaState.WARMING]
    if warming:
        return all(one.url for one in warming)
    return view.desired_replicas is None or view.count(ReplicaState.READY) >= view.desired_replicas


def _paused(facts: PoolFacts, now_s: float) -> Finding:
    if facts.pin is None:
        return Finding(holds=False, reason="NotPinned", message="The controller decides.")
    pin, until = facts.pin.pin, instant_text(facts.pin.pin.until_s)
    if not facts.pin.is_in_force(now_s):
        return Finding(
            holds=False, reason="PinExpired", message=f"The pin of {pin.who} ended at {until}: {pin.reason}."
        )
    held = [
        f"routing {pin.routing}" if pin.routing else "",
        f"replicas {pin.replicas}" if pin.replicas is not None else "",
    ]
    words = f"Pinned to {' and '.join(filter(None, held))} until {until} by {pin.who}: {pin.reason}."
    undo = f'To end it: kubectl patch spool {facts.name} --type merge -p \'{{"spec":{{"pin":null}}}}\''
    return Finding(holds=True, reason="Pinned", message=f"{words} {undo}")


def spill_percent(view: PoolView) -> int:
    """The share that leaves, in whole percent; one that is not nothing is at least 1."""
    return max(1, round(view.spill_ratio * 100)) if view.spill_ratio > 0 else 0


def _has_no_node(replica: Replica) -> bool:
    return replica.state is ReplicaState.WARMING and replica.reason.startswith(NO_NODE)


def _why_warming(view: PoolView) -> str:
    """What the first replica that warms says of itself."""
    said = sorted(one.reason for one in view.replicas if one.state is ReplicaState.WARMING and one.reason)
    return f" ({said[0]})" if said else ""


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
