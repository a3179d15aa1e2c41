"""Traffic on one simulated engine in virtual time, predicted and learned as the gateway does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.gateway.loads import LiveLoad, Ticket
from controller.replay.engine_model import EngineModel
from controller.routing.balance import Candidate
from controller.routing.fit import AnswerLengths
from controller.routing.predict import NOMINAL, EngineTiming
from tests.gateway.gateway_builders import replica


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request: what was predicted for its first token, and what came."""

    at_s: float
    predicted_s: float
    ttft_s: float

    @property
    def error_s(self) -> float:
        """Without its sign."""
        return abs(self.predicted_s - self.ttft_s)


def slower(steps: StepTimes, factor: float) -> StepTimes:
    """An engine whose every step takes so many times as long."""
    return replace(
        steps,
        alpha_ms=steps.alpha_ms * factor,
        beta_ms_per_seq=steps.beta_ms_per_seq * factor,
        gamma_ms_per_1k_context=steps.gamma_ms_per_1k_context * factor,
        p0_ms=steps.p0_ms * factor,
        p1_ms_per_1k=steps.p1_ms_per_1k * factor,
        p2_ms_per_1k_sq=steps.p2_ms_per_1k_sq * factor,
    )


def run(
    real: StepTimes,
    table: StepTimes | None,
    *,
    rate_per_s: float,
    seconds: float,
    learns: bool = True,
    streams: float = 1.0,
    seed: int = 1,
) -> tuple[list[Seen], LiveLoad]:
    """Poisson arrivals of varied prompts and answers; a share of `streams` shows its first token."""
    random, engine_args = Random(seed), EngineArgs()
    engine = EngineModel(real, engine_args, real.kv_cache_tokens)
    load = LiveLoad()
    load.renew(0.0, EngineTiming(table or NOMINAL, engine_args), 0, measured=table is not None)
    load.lengths = AnswerLengths()
    now_s, arrives_s, seen = 0.0, 0.0, list[Seen]()
    tickets: dict[int, tuple[Ticket, float, int, bool]] = {}
    number = 0
    while now_s < seconds or tickets:
        while arrives_s <= now_s and arrives_s < seconds:
            input_tokens, output_tokens = random.randint(50, 1500), random.randint(20, 200)
            ticket, predicted_s = _arrive(load, input_tokens, arrives_s, stream := random.random() < streams)
            engine.submit(number, input_tokens, output_tokens)
            tickets[number] = (ticket, predicted_s, output_tokens, stream)
            number += 1
            arrives_s += random.expovariate(rate_per_s)
        if not tickets:
            now_s = arrives_s
            continue
        result = engine.step()
        now_s += result.duration_s
        load.fit.fade(result.duration_s, now_s)
        for key in result.emitted:
            ticket, predicted_s, output_tokens, stream = tickets[key]  # type: ignore[index]  # our own integers
            if ticket.first_token_s is None and stream:
                seen.append(Seen(at_s=now_s, predicted_s=predicted_s, ttft_s=now_s - ticket.started_s))
                if learns:
                    ticket.first_token(now_s)
                else:
                    ticket.counts_as_computed()
                    ticket.first_token_s = now_s
            if key in result.finished:
                if learns:
                    ticket.whole(now_s, output_tokens)
                ticket.end()
                del tickets[key]  # type: ignore[arg-type]
    return seen, load


def _arrive(load: LiveLoad, input_tokens: int, now_s: float, stream: bool) -> tuple[Ticket, float]:
    load.settle(now_s)
    wait_s, prefill_s = load.timing.parts(load, input_tokens, input_tokens, load.lengths.remaining_tokens)
    predicted_s = load.fit.ttft_s(wait_s, prefill_s)
    found = Candidate(replica("r"), 0, predicted_s, wait_s, prefill_s)
    ticket = load.start(input_tokens, now_s + predicted_s, stream=stream)
    ticket.watched(found, now_s, 1e9, (), can_leave=False)
    return ticket, predicted_s
