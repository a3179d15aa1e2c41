"""What the rows on real engines share: long streams, what each engine got and made, and whether all counts agree."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import httpx

from controller.routing.progress import SLACK_S
from tests.faults.caller import ANSWERED, Told
from tests.faults.gateway_process import GatewayProcess, Setup, page
from tests.faults.real_engine import INPUT_TOKENS, SEATS, RealEngine
from tests.faults.rows import Row
from tests.faults.world import World, eventually

# a first token among 50 takes seconds here, and vLLM takes connections between two answers
PATIENT = {"connect_s": 5.0, "ttft_s": 80.0, "idle_s": 10.0, "total_s": 200.0}
LONG_TOKENS, SHORT_TOKENS = 600, 5  # half a minute on a slow CPU, a whole one on one that others use too
OPENED_S = 80.0
SHORT = {"max_tokens": SHORT_TOKENS}


def patient(**gateway: object) -> Setup:
    """A gateway that waits as long as a CPU needs, with these settings of its section."""
    return Setup(changes={"gateway": {"timeouts": PATIENT, **gateway}})


def long_streams(
    here: World, count: int, *, at: GatewayProcess | None, first: int = 0, **fields: object
) -> list[asyncio.Task[Told]]:
    """So many long ones, each of another prompt: those that begin alike go to one engine."""
    asked = {"max_tokens": LONG_TOKENS, "stream_options": {"include_usage": True}, **fields}
    prompts = (f"{first + number} words about {here.canaries.prompt}" for number in range(count))
    return [
        here.asking(at=at, fields={**asked, "messages": [{"role": "user", "content": prompt}]}) for prompt in prompts
    ]


def asked_of(here: World, engine: RealEngine) -> int:
    """How many requests it has got."""
    return sum(call.stub == engine.name for call in here.calls)


def ids_at(here: World, engine: RealEngine) -> set[str]:
    """The requests that it has got."""
    return {call.request_id for call in here.calls if call.stub == engine.name}


async def metrics(engine: RealEngine) -> Counter[str]:
    """Its metrics by name, over all labels."""
    found: Counter[str] = Counter()
    for line in (await page(engine.port, "/metrics")).splitlines():
        if line.startswith("vllm:"):
            found[line.partition("{")[0]] += float(line.rpartition(" ")[2])
    return found


async def health(engine: RealEngine) -> int:
    """The status of its health page."""
    async with httpx.AsyncClient(timeout=5.0) as client:
        return (await client.get(f"{engine.url}/health")).status_code


def running(here: World) -> Counter[str]:
    """How many requests each engine has got and not answered, by its own log: its metrics wait behind its streams."""
    return Counter(call.stub for call in here.calls if not call.told)


def busiest(here: World, engines: Sequence[RealEngine]) -> RealEngine:
    """The one with most requests: of two on two cores one may be left alone for being slower than the other."""
    found = running(here)
    return max(engines, key=lambda engine: found[engine.name])


async def opened(
    here: World, needed: Iterable[RealEngine], count: int, *, at: GatewayProcess | None = None, **fields: object
) -> list[asyncio.Task[Told]]:
    """So many streams, of which half are at an engine at least, or a few more: until each of these engines has some."""
    streams = long_streams(here, count, at=at, **fields)
    deadline_s = time.monotonic() + OPENED_S
    while True:
        await asyncio.sleep(1.0)
        all_answered([task.result() for task in streams if task.done()])
        found = running(here)
        if found.total() >= count / 2:
            if all(found[engine.name] for engine in needed):
                return streams
            streams += long_streams(here, 1, at=at, first=len(streams), **fields)
        assert time.monotonic() < deadline_s, f"running: {found}; {await out_of_rotation(here)}"


def all_answered(told: Sequence[Told]) -> None:
    """Fails with the first that was not."""
    lost = [(one.end, one.status, one.body[:200], one.events[-1:]) for one in told if one.end != ANSWERED]
    assert not lost, f"{len(lost)} of {len(told)}: {lost[0]}"


async def asked_and_answered(here: World, count: int = 4) -> None:
    """So many short requests of both kinds, all answered."""
    told = await asyncio.gather(*(here.ask(stream=bool(number % 2), fields=SHORT) for number in range(count)))
    all_answered(told)


async def serves_again(here: World, engine: RealEngine, within_s: float) -> float:
    """Seconds until it hears requests again; all that were sent meanwhile are answered."""
    before, numbers = asked_of(here, engine), itertools.count()

    async def heard() -> bool:
        asks = ({"messages": [{"role": "user", "content": f"{next(numbers)} is a number"}]} for _ in range(16))
        told = await asyncio.gather(*(here.ask(stream=False, fields={**SHORT, **fields}) for fields in asks))
        all_answered(told)
        return asked_of(here, engine) > before

    return await eventually(heard, within_s=within_s, every_s=0.2)


async def is_counted(here: World, told: Iterable[Told]) -> int:
    """Of each whole stream vLLM's own usage, the words that came and the ledger agree; how many tokens these were."""
    rows, tokens = await here.ledger(), 0
    for one in told:
        said = next(json.loads(event)["usage"] for event in reversed(one.events) if '"usage":{' in event)
        row = rows[one.request_id]
        counted = (said["prompt_tokens"], said["completion_tokens"])
        assert counted == (INPUT_TOKENS, len(one.text.split()))
        assert (row.input_tokens, row.output_tokens, row.usage_estimated) == (*counted, False)
        tokens += counted[1]
    return tokens


async def is_any_dead(here: World) -> bool:
    """Whether one was taken for hung or gone; `slow` is a matter of comparison."""
    return any('reason="hung"' in name or 'reason="gone"' in name for name in await out_of_rotation(here))


async def out_of_rotation(here: World) -> list[str]:
    """What has been taken out of rotation so far, and why."""
    return [name for name in await here.gateway.metrics() if name.startswith("spillway_replica_eject")]


async def is_saturated(here: World, line: Row, engines: Sequence[RealEngine]) -> None:
    """More requests than both can take at once, some of which wait inside; all are answered, and none is found hung.

    Unless its own counter says that it made no token for so long: on a busy machine that happens.
    """
    crowd = [here.asking(fields={"max_tokens": 200}) for _ in range(4 * SEATS)]
    most, longest_s, moved = 0.0, 0.0, dict.fromkeys((engine.name for engine in engines), (0.0, time.monotonic()))
    while not all(task.done() for task in crowd):
        for engine in engines:
            figures = await metrics(engine)
            tokens, moved_s = moved[engine.name]
            now_s, made = time.monotonic(), figures["vllm:generation_tokens_total"]
            if figures["vllm:num_requests_running"]:
                longest_s = max(longest_s, now_s - moved_s)
            if made != tokens or not figures["vllm:num_requests_running"]:
                moved[engine.name] = made, now_s
            most = max(most, figures["vllm:num_requests_waiting"])
        await asyncio.sleep(0.1)
    all_answered([task.result() for task in crowd])
    assert most > 0, "nobody waited inside an engine: it was never saturated"
    line.figures.update(most_waiting=most, longest_quiet_s=round(longest_s, 2))
    assert longest_s > 0.8 * SLACK_S or not await is_any_dead(here), (
        f"saturated is not hung: {await out_of_rotation(here)}"
    )


async def started_again(here: World, line: Row, engine: RealEngine) -> None:
    """Afterwards it is up; all who asked meanwhile were answered by the other one."""
    began_s = time.monotonic()
    engine.start()
    starting = asyncio.create_task(asyncio.to_thread(engine.await_up))
    while not starting.done():
        await asked_and_answered(here, 2)
        await asyncio.sleep(0.5)
    await starting
    line.figures["start_s"] = round(time.monotonic() - began_s, 1)
