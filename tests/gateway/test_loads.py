"""What is under way on each replica: sums that never go below zero and come back to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.gateway.loads import LiveLoad, Loads, Ticket
from controller.routing.predict import ReplicaLoad

IDLE = ReplicaLoad()


def sums(load: LiveLoad) -> tuple[int, int, int, int]:
    """The running sums."""
    return load.in_flight, load.pending_prefill_tokens, load.decoding, load.context_tokens


def test_the_life_of_a_stream() -> None:
    """Its prompt waits, then it decodes over its context, then it is gone."""
    load = LiveLoad()
    ticket = load.start(100, due_s=5.0, stream=True)
    assert load.at(9.0) == ReplicaLoad(in_flight=1, pending_prefill_tokens=100)
    ticket.first_token(9.0)
    ticket.first_token(9.0)
    assert load.at(9.0) == ReplicaLoad(in_flight=1, decoding=1, context_tokens=100)
    ticket.end()
    ticket.end()
    ticket.counts_as_computed()
    assert load.at(9.0) == IDLE


def test_the_life_of_a_whole_answer() -> None:
    """It says nothing before it is whole: its prompt counts as computed once the predicted time has passed."""
    load = LiveLoad()
    ticket = load.start(100, due_s=5.0, stream=False)
    assert load.at(4.9).pending_prefill_tokens == 100
    assert load.at(5.0) == ReplicaLoad(in_flight=1, decoding=1, context_tokens=100)
    ticket.end()
    assert load.at(5.0) == IDLE


def test_a_request_that_ends_before_its_first_token() -> None:
    """Its prompt waits no more."""
    load = LiveLoad()
    load.start(100, due_s=5.0, stream=True).end()
    load.start(100, due_s=5.0, stream=False).end()
    assert load.at(0.0) == IDLE
    assert load.at(9.0) == IDLE


steps = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 500), st.booleans()),
        st.tuples(st.sampled_from(["counts_as_computed", "end"]), st.integers(0, 20), st.just(False)),
        st.tuples(st.just("look"), st.integers(0, 100), st.just(False)),
    ),
    max_size=40,
)


@given(steps)
def test_sums_never_go_below_zero_and_return_to_it(plan: list[tuple[str, int, bool]]) -> None:
    """In any order of starts, first tokens, ends and looks, also repeated ones."""
    load, tickets, now_s = LiveLoad(), list[Ticket](), 0.0
    for step, number, streamed in plan:
        if step == "start":
            tickets.append(load.start(number, due_s=now_s + number / 10, stream=streamed))
        elif step == "look":
            now_s += number
            seen = load.at(now_s)
            assert seen == IDLE or seen.in_flight == sum(not ticket.ended for ticket in tickets)
        elif tickets:
            getattr(tickets[number % len(tickets)], step)()
        assert min(sums(load)) >= 0
        assert load.decoding <= load.in_flight
    for ticket in tickets:
        ticket.end()
    assert sums(load) == (0, 0, 0, 0)
    assert load.at(now_s) == IDLE


def test_replicas_by_id() -> None:
    """Each has its own sums; idle ones that have left the fleet are forgotten, busy ones only when they are idle."""
    loads = Loads()
    ticket = loads.of("busy").start(10, due_s=1.0, stream=True)
    loads.of("idle")
    kept = loads.of("kept")
    assert loads.in_flight() == {"busy": 1, "idle": 0, "kept": 0}
    loads.keep_only(["kept"])
    assert loads.in_flight() == {"busy": 1, "kept": 0}
    assert loads.of("kept") is kept
    ticket.end()
    loads.keep_only(["kept"])
    assert loads.in_flight() == {"kept": 0}
