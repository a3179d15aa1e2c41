"""What is read from engines and gateways: real text gives figures, anything doubtful gives None, never zeros."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from math import inf

import httpx
import pytest

from controller.adapters.engine_scrape import (
    KV_CACHE_USAGE,
    PAGE_BYTES_MAX,
    RUNNING,
    WAITING,
    EngineScraper,
    read_engine,
)
from controller.adapters.gateway_scrape import PER_POOL, GatewayScraper, read_gateway
from controller.core.samples import EngineMetrics, GatewayCounters, ProviderCounters
from controller.telemetry import gateway_metrics as names
from controller.telemetry.gateway_metrics import GatewayMetrics, registry_of, render
from controller.telemetry.provider_metrics import KeyState, ProviderMetrics


@pytest.fixture(scope="module")
def engine_url() -> Iterator[str]:
    """A simulated engine as a process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "controller.engine_sim", "--port", str(port), "--model-key", "llama-8b-self"]
    process = subprocess.Popen(
        [*command, "--instance-type", "g5.2xlarge"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url, deadline_s = f"http://127.0.0.1:{port}", time.monotonic() + 20.0
    try:
        with httpx.Client(trust_env=False) as client:
            while not _answers(client, url):
                assert process.poll() is None
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
        yield url
    finally:
        process.terminate()
        process.wait(10.0)


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def scrape_engine(url: str, timeout_s: float = 0.4) -> EngineMetrics | None:
    """One scrape with a short deadline."""

    async def once() -> EngineMetrics | None:
        scraper = EngineScraper(timeout_s)
        try:
            return await scraper.scrape(url)
        finally:
            await scraper.close()

    return asyncio.run(once())


def scrape_gateway(url: str) -> GatewayCounters | None:
    """One scrape with a short deadline."""

    async def once() -> GatewayCounters | None:
        scraper = GatewayScraper([url], 0.4)
        try:
            return (await scraper.scrape())[url]
        finally:
            await scraper.close()

    return asyncio.run(once())


def test_a_real_engine_is_read(engine_url: str) -> None:
    """Idle is zero because it says so; a request under way is seen as running."""
    idle = scrape_engine(engine_url)
    assert idle == EngineMetrics(running=0, waiting=0, kv_cache_usage_ratio=0.0, tokens_total=0.0)
    body = {
        "model": "llama-3.1-8b-instruct",
        "prompt": "Hi " * 200,
        "max_tokens": 4000,
        "stream": True,
        "ignore_eos": True,
    }
    with (
        httpx.Client(trust_env=False) as client,
        client.stream("POST", f"{engine_url}/v1/completions", json={**body, "stream": True}) as answer,
    ):
        assert answer.status_code == 200
        chunks = answer.iter_bytes()
        next(chunks)
        busy = scrape_engine(engine_url)
    assert busy is not None
    assert (busy.running, busy.waiting) == (1, 0)
    assert 0.0 < busy.kv_cache_usage_ratio < 1.0
    assert busy.tokens_total is not None
    assert busy.tokens_total > 0


def engine_text(running: str = "3", waiting: str = "1", kv: str = "0.25") -> str:
    """What vLLM says, shortened."""
    labels = '{engine="0",model_name="llama"}'
    return (
        f"# HELP {RUNNING} Number of requests in model execution batches.\n# TYPE {RUNNING} gauge\n"
        f"{RUNNING}{labels} {running}\n{WAITING}{labels} {waiting}\n"
        f'{WAITING}_by_reason{{engine="0",reason="capacity"}} 7\n{KV_CACHE_USAGE}{labels} {kv}\n'
    )


FIGURES = EngineMetrics(running=3, waiting=1, kv_cache_usage_ratio=0.25)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(engine_text(), FIGURES, id="plain"),
        pytest.param(engine_text("3.0", "1e0", "2.5e-1"), FIGURES, id="other spellings"),
        pytest.param(engine_text().replace("\n", "\r\n"), FIGURES, id="CRLF"),
        pytest.param("", None, id="empty"),
        pytest.param("<html>no engine</html>", None, id="something else"),
        pytest.param(engine_text(running="NaN"), None, id="running is NaN"),
        pytest.param(engine_text(waiting="+Inf"), None, id="waiting is infinite"),
        pytest.param(engine_text(kv="NaN"), None, id="cache is NaN"),
        pytest.param(engine_text(kv="1e400"), None, id="cache overflows"),
        pytest.param(engine_text(kv="1.5"), None, id="cache more than full"),
        pytest.param(engine_text(running="-5"), None, id="running below none"),
        pytest.param(engine_text(waiting="1e308"), None, id="waiting beyond any engine"),
        pytest.param(engine_text().replace(KV_CACHE_USAGE, "vllm:gpu_cache_usage_perc"), None, id="cache renamed"),
        pytest.param(engine_text().replace(RUNNING, "vllm:running"), None, id="running renamed"),
        pytest.param(engine_text().replace(f"{WAITING}{{", f"#{WAITING}{{"), None, id="waiting absent"),
    ],
)
def test_an_engine_is_read_whole_or_not_at_all(text: str, expected: EngineMetrics | None) -> None:
    """All three figures as numbers, or nothing: an engine that renamed a metric is not one that is forever empty."""
    assert read_engine(text) == expected


@pytest.mark.parametrize(
    ("counted", "tokens_total"),
    [("vllm:prompt_tokens_total 7\nvllm:generation_tokens_total 5\n", 12.0), ("vllm:prompt_tokens_total NaN\n", None)],
    ids=["both", "not a number"],
)
def test_token_counts_are_read_where_there_are_any(counted: str, tokens_total: float | None) -> None:
    """Those of prompts and answers together; the other figures stand without them."""
    read = read_engine(engine_text() + counted)
    assert read is not None
    assert (read.running, read.tokens_total) == (3, tokens_total)


def test_data_parallel_ranks_add_up() -> None:
    """Requests of all ranks together, the cache of the fullest; one rank's NaN spoils the figure."""
    other = engine_text("2", "4", "0.75").replace('engine="0"', 'engine="1"')
    assert read_engine(engine_text() + other) == EngineMetrics(running=5, waiting=5, kv_cache_usage_ratio=0.75)
    assert read_engine(engine_text() + other.replace("0.75", "NaN")) is None


def gateway() -> GatewayMetrics:
    """Counters of two pools and a provider: 5 requests for llama-8b, of which 2 were refused and served outside."""
    metrics = GatewayMetrics(lambda: {"llama-8b-1": 3, "llama-8b-2": 0})
    metrics.target("mixtral-8x7b", is_own=True)
    metrics.target("openai", is_own=False).ttft.observe(9.0)
    pool = metrics.target("llama-8b", is_own=True)
    pool.arrivals, pool.input_tokens, pool.output_tokens = 5, 1000, 250
    pool.spilled = {"saturated": 2, "spilling": 1}
    for ttft_s in (0.003, 0.3, 0.3):
        pool.ttft.observe(ttft_s)
    return metrics


def gateway_text(metrics: GatewayMetrics | None = None) -> str:
    """What a scrape of it gets."""
    return render(registry_of(metrics or gateway())).decode()


def test_a_real_gateway_is_read() -> None:
    """Everything the loop wants, by pool and by replica; providers are no pools."""
    found = read_gateway(gateway_text())
    assert found is not None
    assert set(found.pools) == {"llama-8b", "mixtral-8x7b"}
    pool = found.pools["llama-8b"]
    assert (pool.arrivals, pool.input_tokens, pool.output_tokens) == (5.0, 1000.0, 250.0)
    assert pool.spilled == {"saturated": 2.0, "spilling": 1.0}
    assert pool.ttft_buckets[0] == (0.001, 0.0)
    assert dict(pool.ttft_buckets)[0.25] == 1.0
    assert pool.ttft_buckets[-1] == (inf, 3.0)
    assert found.replica_in_flight == {"llama-8b-1": 3, "llama-8b-2": 0}
    idle = found.pools["mixtral-8x7b"]
    assert (idle.arrivals, idle.spilled) == (0.0, {})


def test_a_fresh_gateway_says_zero() -> None:
    """Nothing asked yet is known to be nothing, without a sample of replicas or spills."""
    metrics = GatewayMetrics()
    metrics.target("llama-8b", is_own=True)
    found = read_gateway(gateway_text(metrics))
    assert found is not None
    assert found.pools["llama-8b"].arrivals == 0.0
    assert found.replica_in_flight == {}


@pytest.mark.parametrize(
    "name",
    [*PER_POOL, names.QUEUE_DEPTH, names.SPILLED, names.REPLICA_IN_FLIGHT, names.TTFT],
)
def test_a_gateway_with_a_renamed_metric_is_silent(name: str) -> None:
    """What it does not say under the name we know is unknown, not zero; so it is when the lines are not there."""
    text = gateway_text()
    assert read_gateway(text.replace(name, f"new_{name}")) is None
    assert read_gateway("\n".join(line for line in text.splitlines() if name not in line)) is None


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
@pytest.mark.parametrize("name", [names.POOL_ARRIVALS, names.POOL_INPUT_TOKENS, names.REPLICA_IN_FLIGHT, names.SPILLED])
def test_a_gateway_value_that_is_no_number_is_silence(name: str, value: str) -> None:
    """One such value spoils the scrape, for sums of it would be nonsense for ever."""
    lines = [
        f"{line.rsplit(' ', 1)[0]} {value}" if line.startswith(f"{name}{{") else line
        for line in gateway_text().splitlines()
    ]
    assert read_gateway("\n".join(lines)) is None


@pytest.mark.parametrize("text", ["", "<html>no gateway</html>", engine_text()])
def test_another_process_on_the_gateways_port_is_silence(text: str) -> None:
    """Whoever answers there: without the gateway's counters nothing is known."""
    assert read_gateway(text) is None


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /metrics as the path before it says."""

    def do_GET(self) -> None:
        """One answer."""
        kind = self.path.split("/")[1]
        if kind == "slow":
            time.sleep(0.6)
        status = 500 if kind == "failing" else 200
        texts = {"gateway": gateway_text(), "garbled": f"{RUNNING}{{ 1\n", "long": "# \n" * 10**6 + engine_text()}
        body = texts.get(kind, engine_text()).encode()
        self.send_response(status)
        if kind == "compressed":
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(b"# \n" * 2 * PAGE_BYTES_MAX if kind == "longer" else body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A plain HTTP server in a thread."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["failing", "garbled", "slow"])
def test_a_scrape_that_went_wrong_is_none(server: str, kind: str) -> None:
    """An error status, half a line, an answer after the deadline: nothing raises."""
    assert scrape_engine(f"{server}/{kind}") is None
    assert scrape_gateway(f"{server}/{kind}") is None


@pytest.mark.parametrize(("kind", "expected"), [("long", FIGURES), ("longer", None), ("compressed", None)])
def test_the_page_of_an_engine_has_a_limit(server: str, kind: str, expected: EngineMetrics | None) -> None:
    """3 MB are read; what never ends is left, and what was not asked for in fewer bytes is not unpacked."""
    assert scrape_engine(f"{server}/{kind}", timeout_s=5.0) == expected


def test_nobody_there_is_none(server: str) -> None:
    """A port nobody listens on, and a URL that is none."""
    assert scrape_engine("http://127.0.0.1:1") is None
    assert scrape_gateway("http://127.0.0.1:1") is None
    assert scrape_engine("http://no:port") is None
    assert scrape_engine(f"{server}/engine") == FIGURES
    assert scrape_gateway(f"{server}/gateway") is not None


def test_each_gateway_is_read_for_itself(server: str) -> None:
    """All at once, each within its time: one that is silent or wrong takes nothing from the others."""
    well, others = f"{server}/gateway", [f"{server}/slow", f"{server}/failing", "http://127.0.0.1:1"]

    async def once() -> Mapping[str, GatewayCounters | None]:
        scraper = GatewayScraper([*others, well], 0.4)
        try:
            return await scraper.scrape()
        finally:
            await scraper.close()

    found = asyncio.run(once())
    assert list(found) == [*others, well]
    assert [url for url, counters in found.items() if counters is not None] == [well]


def test_what_can_be_bought_is_read_too() -> None:
    """Good keys and answers by provider, and arrivals that may not be bought; older gateways say nothing of it."""
    metrics = GatewayMetrics()
    metrics.target("llama-8b", is_own=True).arrivals = 5
    metrics.target("llama-8b", is_own=True).bound = 2
    metrics.target("openai", is_own=False).attempts = {"answered": 7, "failed": 3}
    keys = {("openai", KeyState.GOOD): 1, ("openai", KeyState.RESTING): 2, ("groq", KeyState.GOOD): 0}
    text = render(registry_of(metrics, ProviderMetrics(lambda: keys))).decode()
    found = read_gateway(text)
    assert found is not None
    assert found.pools["llama-8b"].bound == 2.0
    assert found.providers == {
        "openai": ProviderCounters(keys_good=1, answered=7.0),
        "groq": ProviderCounters(keys_good=0, answered=0.0),
    }
    older = read_gateway("\n".join(line for line in text.splitlines() if "bound" not in line and "keys" not in line))
    assert older is not None
    assert (older.pools["llama-8b"].bound, older.providers) == (0.0, {})
