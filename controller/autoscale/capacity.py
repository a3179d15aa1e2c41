"""What one replica can do within its SLO, from the step times of its model and GPU.

A request of I input and O output tokens costs `P(I) + O * T(B) / B` seconds of one replica, where P is the time to
compute its prompt and T(B) that of one iteration with B answers under way. Cost falls as B grows; the largest B is the
one at which 99 % of requests still keep their SLO (`misses`):

- A token takes `T(B) + B * P(I) / O` in the mean, as for each answer that ends one prompt comes. That formula met 100
  measured points of vLLM 70B FP8 within 1.4-7.9 % (see controller/catalogue/step_times.yaml).
- A step with a full token budget of prompts may take longer than the SLO allows a token. Long answers even that out,
  short ones cannot: of those with n gaps, each filled with the probability q, all are late that meet more than n gaps
  allow. A budget whose full step is within the SLO (`token_budget_at_slo`) makes nobody late by that.
- Prompts wait for each other, as in a queue before the few replicas of a small pool.

Replayed request by request (`replay.fleet_simulation`; Llama 8B on an A100, 70B on four, sizes of Azure 2023), pools of
four and of twenty kept 99 % up to 0.85 to 0.9 of the rate of that batch: near it the batch grows without end.
"""

from __future__ import annotations

from collections.abc import Callable
from math import erfc, exp, inf, log, sqrt

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs, Slo
from controller.core.records import record

KV_USABLE_RATIO = 0.9  # fuller, vLLM preempts
STEADY_RATIO = 0.9  # of the rate of the full batch
MISSES_MOST_RATIO = 0.01
BUDGET_SLO_RATIO = 0.9  # of the SLO that a full step may take: batches are larger than the mean one at times
PROMPT_TTFT_RATIO = 0.5  # of the TTFT that one prompt may take by itself, or none could wait for another
BUDGET_STEP_TOKENS = 64
TYPICAL_TOKENS = (1155.0, 211.0)  # of a request where none is known: means of the Azure 2023 conversations
# Who meets a prompt at random meets large ones more often: E[I^2] / E[I] is 1.9 times the mean, in Azure 2023's
# conversations and in its code.
MET_PROMPTS = 2.0
QUEUE_REPLICAS = 4  # of a small pool, whose prompts wait for one another; in larger ones they wait less
BATCH_PRECISION = 0.02
_NO_TIME_S = 1e-9
_EXACT_MOST = 4  # hits: above it a normal distribution is near enough
# Lengths of answers by their mean: exponential, as those of code are. The middles of eight equal shares.
_LENGTHS = tuple(-log(1.0 - (part + 0.5) / 8) for part in range(8))


@record
class _Batch:
    """One replica with so many answers under way."""

    answers: float
    decode_s: float  # of a step without prompts
    chunk_s: float  # that they add where they fill it, or are the largest that there are
    token_s: float  # mean time from token to token
    prompt_s: float  # of one prompt, from its first chunk to its last
    run_steps: float  # that the chunks of one prompt fill, one after the other


@record
class RequestWork:
    """Of one replica for one request. `gpu_s`: at SLO capacity. `prompt_s`: until its first token, beside half of the
    answers that are under way then, if no other prompt is in the way.
    """

    gpu_s: float
    prompt_s: float


def prefill_s(steps: StepTimes, engine: EngineArgs, input_tokens: float) -> float:
    """Seconds that a prompt adds to iterations, computed in chunks of the token budget."""
    budget = engine.max_num_batched_tokens
    full, rest = divmod(max(0.0, input_tokens), budget)
    return full * _chunk_s(steps, budget) + _chunk_s(steps, rest)


def batch_at_slo(steps: StepTimes, engine: EngineArgs, slo: Slo, input_tokens: float, output_tokens: float) -> float:
    """How many answers are under way in the mean at the most with which 99 % of requests keep the SLO; at least 1."""
    output = max(1.0, output_tokens)

    def keeps(answers: float) -> bool:
        missed = misses(steps, engine, slo, answers, input_tokens=input_tokens, output_tokens=output)
        return missed <= MISSES_MOST_RATIO

    return _largest(keeps, _steady_batch(steps, engine, slo, input_tokens, output))


def misses(
    steps: StepTimes, engine: EngineArgs, slo: Slo, answers: float, *, input_tokens: float, output_tokens: float
) -> float:
    """The share of requests that miss their SLO with so many answers under way in the mean."""
    batch = _batch(steps, engine, answers, input_tokens, output_tokens)
    return _slow_ratio(batch, slo.tpot_p95_s, output_tokens) + _late_ratio(batch, slo.ttft_p95_s, output_tokens)


def gpu_seconds_per_request(
    steps: StepTimes, engine: EngineArgs, slo: Slo, *, input_tokens: float, output_tokens: float
) -> float:
    """Seconds of one replica that a request of this size costs at SLO capacity; its inverse is requests per second."""
    return request_work(steps, engine, slo, input_tokens=input_tokens, output_tokens=output_tokens).gpu_s


def request_work(
    steps: StepTimes, engine: EngineArgs, slo: Slo, *, input_tokens: float, output_tokens: float
) -> RequestWork:
    """What a request of this size costs a replica."""
    output = max(1.0, output_tokens)
    answers = batch_at_slo(steps, engine, slo, input_tokens, output)
    half_full = _batch(steps, engine, answers / 2, input_tokens, output)
    return RequestWork(
        gpu_s=output * _batch(steps, engine, answers, input_tokens, output).token_s / answers,
        prompt_s=half_full.prompt_s + half_full.decode_s / 2,  # it comes in the middle of a step
    )


def demand_replicas(
    steps: StepTimes, engine: EngineArgs, slo: Slo, *, requests_per_s: float, input_tokens: float, output_tokens: float
) -> float:
    """How many replicas at SLO capacity this demand keeps busy."""
    if requests_per_s <= 0.0:
        return 0.0
    return requests_per_s * gpu_seconds_per_request(
        steps, engine, slo, input_tokens=input_tokens, output_tokens=output_tokens
    )


def token_budget_at_slo(
    steps: StepTimes,
    engine: EngineArgs,
    slo: Slo,
    *,
    input_tokens: float = TYPICAL_TOKENS[0],
    output_tokens: float = TYPICAL_TOKENS[1],
) -> int:
    """The token budget of a step that keeps the SLO for a token when it is full: answers, and prompts beside them.

    A larger one computes prompts no faster beside so many answers, but makes short ones late. Not so small that a
    prompt takes half of its TTFT alone, nor below `max_num_seqs`, which vLLM refuses.
    """
    allowed_s, least, room = BUDGET_SLO_RATIO * slo.tpot_p95_s, 1, 0.0
    for answers in range(1, engine.max_num_seqs + 1):
        context = answers * (input_tokens + output_tokens / 2)
        if answers > 1 and context > KV_USABLE_RATIO * steps.kv_cache_tokens:
            break
        busy_s = decode_step_s(steps, answers, input_tokens + output_tokens / 2)
        fits = _tokens_within(steps, allowed_s - busy_s - _mixed_s(steps, context, input_tokens))
        if answers > 1 and fits < answers * input_tokens / output_tokens:
            break
        least, room = answers, fits
    prompt = input_tokens * slo.tpot_p95_s / (PROMPT_TTFT_RATIO * slo.ttft_p95_s)
    whole = int((least + max(room, prompt)) // BUDGET_STEP_TOKENS) * BUDGET_STEP_TOKENS
    return max(whole, BUDGET_STEP_TOKENS, engine.max_num_seqs)


def _steady_batch(steps: StepTimes, engine: EngineArgs, slo: Slo, input_tokens: float, output_tokens: float) -> float:
    """The batch at 0.9 of the rate of the fullest one: that which keeps the SLO for a token in the mean, and for whose
    prompts and contexts there is room. 1 when it is smaller.
    """
    context = max(1.0, input_tokens + output_tokens / 2)
    empty_s = decode_step_s(steps, 0.0, context)
    answer_s = decode_step_s(steps, 1.0, context) - empty_s + prefill_s(steps, engine, input_tokens) / output_tokens
    answer_s += steps.mixed_gamma_ms_per_1k_context * context / 1e6  # near it hardly a step is without prompts
    full = min(
        engine.max_num_seqs,
        KV_USABLE_RATIO * steps.kv_cache_tokens / context,
        engine.max_num_batched_tokens / (1.0 + input_tokens / output_tokens),
        (slo.tpot_p95_s - empty_s) / answer_s if answer_s > 0.0 else inf,
    )
    if full <= 1.0:
        return 1.0
    # From B = rate * O * (empty + B * answer), as the rate is that of `full` times the ratio.
    idle_s = empty_s + (1.0 - STEADY_RATIO) * full * answer_s
    return max(1.0, STEADY_RATIO * full * empty_s / idle_s if idle_s > 0.0 else full)


def _largest(keeps: Callable[[float], bool], most: float) -> float:
    """The largest batch that keeps something which larger ones keep less; 1 at least, `most` at most."""
    if most <= 1.0 or keeps(most):
        return most
    low, high = 1.0, most
    while high - low > BATCH_PRECISION * low:
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low


def _tokens_within(steps: StepTimes, seconds: float) -> float:
    """Of prompts, beside answers, in so long: `p1 * T + p2 * T^2` solved for T."""
    if seconds <= 0.0:
        return 0.0
    p1, p2 = steps.p1_ms_per_1k / 1e6, steps.p2_ms_per_1k_sq / 1e9
    return 2.0 * seconds / (p1 + sqrt(p1 * p1 + 4.0 * p2 * seconds))


def decode_step_s(steps: StepTimes, answers: float, context_tokens: float) -> float:
    """A step of so many answers, each with so much context; a mean of answers need not be whole."""
    context = steps.gamma_ms_per_1k_context * context_tokens / 1000.0
    return steps.correction * (steps.alpha_ms + answers * (steps.beta_ms_per_seq + context)) / 1000.0


def _chunk_s(steps: StepTimes, tokens: float) -> float:
    kilo = tokens / 1000.0
    return (steps.p1_ms_per_1k * kilo + steps.p2_ms_per_1k_sq * kilo * kilo) / 1000.0


def _batch(steps: StepTimes, engine: EngineArgs, answers: float, input_tokens: float, output_tokens: float) -> _Batch:
    context = input_tokens + output_tokens / 2
    decode_s = decode_step_s(steps, answers, context)
    room = max(1.0, engine.max_num_batched_tokens - answers)
    chunk = min(room, MET_PROMPTS * input_tokens)
    mixed_s = _mixed_s(steps, answers * context, chunk)
    own_s, chunks = prefill_s(steps, engine, input_tokens), max(1.0, input_tokens / room)
    filled = min(1.0, answers * input_tokens / (output_tokens * max(1.0, chunk)))
    return _Batch(
        answers=answers,
        decode_s=decode_s,
        chunk_s=_chunk_s(steps, chunk) + mixed_s,
        token_s=decode_s + answers * own_s / output_tokens + filled * mixed_s,
        prompt_s=chunks * (decode_s + mixed_s) + own_s,
        run_steps=max(1.0, MET_PROMPTS * input_tokens / room),
    )


def _mixed_s(steps: StepTimes, context_tokens: float, prompt_tokens: float) -> float:
    """What a step with prompts and answers takes more than both: attention is dearer, but weights are read beside."""
    dearer_ms = steps.mixed_gamma_ms_per_1k_context * context_tokens / 1000.0
    return (dearer_ms - min(steps.overlap_ms, steps.p1_ms_per_1k * prompt_tokens / 1000.0)) / 1000.0


def _slow_ratio(batch: _Batch, tpot_s: float, output_tokens: float) -> float:
    """The share of answers whose tokens come slower than that because of the prompts between them."""
    if batch.decode_s + batch.chunk_s <= tpot_s:
        return 0.0
    if batch.decode_s >= tpot_s:
        return 1.0
    filled = min(1.0, (batch.token_s - batch.decode_s) / batch.chunk_s)
    slow = 0.0
    for length in _LENGTHS:
        gaps = max(1.0, length * output_tokens - 1.0)
        run = min(gaps, batch.run_steps)
        allowed = (tpot_s - batch.decode_s) * gaps / (batch.chunk_s * run)
        slow += _more_than(int(allowed), gaps / run, filled)
    return slow / len(_LENGTHS)


def _more_than(most: int, chances: float, filled: float) -> float:
    """The chance of more than `most` hits among so many chances of `filled` each."""
    if filled >= 1.0:
        return 1.0
    mean = chances * filled
    if most > _EXACT_MOST:
        return 0.5 * erfc((most + 0.5 - mean) / sqrt(2.0 * mean * (1.0 - filled)))
    term = none = exp(chances * log(1.0 - filled))
    for hit in range(most):
        term *= max(0.0, chances - hit) / (hit + 1) * filled / (1.0 - filled)
        none += term
    return max(0.0, 1.0 - none)


def _late_ratio(batch: _Batch, ttft_s: float, output_tokens: float) -> float:
    """The share of prompts that come too late because of others: those that wait, by Sakasegawa's approximation for
    several servers, wait an exponential time. A prompt that takes long alone does so under any load, so half of the
    TTFT is for waiting at least.
    """
    answer_s = max(_NO_TIME_S, output_tokens * batch.token_s)
    busy = batch.answers * batch.prompt_s / answer_s  # prompts a second, times seconds each
    if busy >= 1.0:
        return 1.0
    waiting = exp((sqrt(2.0 * (QUEUE_REPLICAS + 1)) - 1.0) * log(max(_NO_TIME_S, busy)))
    wait_s = max(_NO_TIME_S, batch.prompt_s) / (QUEUE_REPLICAS * (1.0 - busy))
    return waiting * exp(-max(ttft_s - batch.prompt_s, PROMPT_TTFT_RATIO * ttft_s) / wait_s)
