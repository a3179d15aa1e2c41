"""How patient to be, learned: several patiences are tried on the demand that was seen, and the cheapest one leads.

Each expert runs ledgers of its own with replicas that it only imagines: they take a cold start to come up, are paid
from their start on, and what they cannot serve is bought, or counts as late where providers take no more. What it has
spent fades with `MEMORY_S`, so that the lead follows the traffic: on daily curves quick starts win, among bursts
shorter than a cold start patient ones do, and on a square wave those that stay up. Following the best expert costs at
most its price and that of the changes of lead.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from controller.autoscale.ledgers import Ledgers, Patience, Spell, stepped

# Quick both ways and along the trend; for bursts that end before a replica is there, and for lone spikes: slow to
# start; for demand that comes back: slow to stop; quick without a trend. The first is, alone, among the cheapest over
# the short workloads of the policy benchmark; what each of them is worth: controller/replay/README.md.
PATIENCES = (
    Patience(up=0.3, down=0.3, ahead=1.0),
    Patience(up=1.0, down=0.25),
    Patience(up=2.0, down=0.5),
    Patience(up=1.0, down=3.0),
    Patience(up=0.3, down=0.3),
)
FIRST_LEADER = 0
MEMORY_S = 12 * 3600.0
LEAD_STARTS_RATIO = 0.1  # cheaper by so many starts of every ready replica: a change of lead is not free


@dataclass(frozen=True, slots=True, kw_only=True)
class Expert:
    """One patience's imagined pool. `due_s`: when its starting replicas are ready."""

    ledgers: Ledgers
    ready: int
    due_s: tuple[float, ...] = ()
    spent_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """All of them, and who leads."""

    experts: tuple[Expert, ...]
    leader: int = FIRST_LEADER

    @property
    def patience(self) -> Patience:
        """That of the leader."""
        return PATIENCES[self.leader]


def assembled(replicas: int) -> Experts:
    """Experts who know nothing yet and imagine the pool as it is."""
    one = Expert(ledgers=Ledgers(on=replicas), ready=replicas)
    return Experts(experts=(one,) * len(PATIENCES))


def taught(experts: Experts, spell: Spell) -> Experts:
    """The experts after a spell. The lead changes only to one that is cheaper by more than a little."""
    kept_ratio = exp(-spell.elapsed_s / MEMORY_S)
    after = tuple(
        _lived(expert, patience, spell, kept_ratio) for expert, patience in zip(experts.experts, PATIENCES, strict=True)
    )
    leader = experts.leader
    best = min(range(len(after)), key=lambda at: after[at].spent_usd)
    margin_usd = LEAD_STARTS_RATIO * spell.prices.start_usd * max(1, after[leader].ready)
    if after[best].spent_usd + margin_usd < after[leader].spent_usd:
        leader = best
    return Experts(experts=after, leader=leader)


def _lived(expert: Expert, patience: Patience, spell: Spell, kept_ratio: float) -> Expert:
    """One expert's pool a spell later."""
    prices, on = spell.prices, expert.ledgers.on
    due_s = tuple(at_s for at_s in expert.due_s if at_s > spell.now_s)
    ready = expert.ready + len(expert.due_s) - len(due_s)
    bought_replicas = max(0.0, spell.demand_replicas - ready)
    usd_per_s = prices.replica_usd_per_s * on + prices.spill_usd_per_replica_s * bought_replicas
    if spell.scarce is not None:
        usd_per_s += spell.scarce.usd_per_s(bought_replicas)
    spent_usd = expert.spent_usd * kept_ratio + usd_per_s * spell.elapsed_s
    ledgers = stepped(expert.ledgers, patience, spell)
    if ledgers.on > on:
        due_s += (spell.now_s + prices.cold_start_s,) * (ledgers.on - on)
    elif ledgers.on < on:
        given_up = min(len(due_s), on - ledgers.on)
        due_s, ready = due_s[: len(due_s) - given_up], ready - (on - ledgers.on - given_up)
    return Expert(ledgers=ledgers, ready=ready, due_s=due_s, spent_usd=spent_usd)
