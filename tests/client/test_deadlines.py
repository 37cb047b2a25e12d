"""Whatever nodes do at whichever step, a call is over by its time-out and says what happened; in virtual time."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.client.calls import Calls
from nodes.client.pool import Limits, Pool
from nodes.client.threads import run
from nodes.errors import DID_NOT_HAPPEN, HAPPENED, UNKNOWN, StoreError
from nodes.requests import Request, Statement
from tests.client.fake_node import SECRET, txn_id
from tests.client.virtual import CALLS, DIALS, FATES, HANDSHAKES, Plan, VirtualSurroundings, World

WRITE = [Statement("UPDATE a SET b = 1", [], 1)]
KEY = "0f1e2d3c-4b5a-4978-8697-a6b5c4d3e2f1"
READ = [Statement("SELECT 1")]

plans = st.builds(
    Plan,
    dial=st.sampled_from((*["well"] * 4, *DIALS)),
    handshake=st.sampled_from((*["well"] * 8, *HANDSHAKES)),
    call=st.sampled_from(CALLS),
    fate=st.sampled_from(("well", *FATES)),
    delay=st.sampled_from((0.0, 0.0, 0.001, 0.2, 1.1, 30.0)),
    commits=st.booleans(),
)
casts = st.lists(st.lists(plans, min_size=1, max_size=3), min_size=1, max_size=3)
timeouts = st.sampled_from((0.001, 0.05, 0.4, 1.0, 5.0, 10.0))


class Scene:
    """A client of virtual nodes."""

    def __init__(self, cast: list[list[Plan]], timeout: float) -> None:
        self.world = World()
        self.timeout = timeout
        self.surroundings = VirtualSurroundings(self.world, dict(enumerate([list(plans) for plans in cast], 1)))
        addresses = [("n", node) for node in self.surroundings.plans]
        self.calls = Calls(Pool(addresses, SECRET, self.surroundings, Limits()), timeout)

    def ask(self, call: Any) -> Any:
        """What the call gives, or the StoreError that it raises; within its time-out."""
        begun = self.world.now
        try:
            return run(call)
        except StoreError as error:
            return error
        finally:
            assert self.world.now - begun <= self.timeout + 1e-6

    def submit(self, statements: list[Statement], key: str = "") -> Any:
        return self.ask(self.calls.submit(Request(statements, round(self.timeout * 1000), key=key)))

    def is_even(self) -> bool:
        """Every right to a connection was given back."""
        return self.calls._pool._admission._in_use == [0] * len(self.surroundings.plans)


@settings(max_examples=1_000, deadline=None)
@given(casts, timeouts, st.sampled_from(("", KEY)))
def test_a_write_is_over_in_time_and_its_outcome_is_what_happened(
    cast: list[list[Plan]], timeout: float, key: str
) -> None:
    scene = Scene(cast, timeout)
    told = scene.submit(WRITE, key)
    committed = scene.world.committed()
    assert len(committed) <= 1, "it happened twice"
    if not isinstance(told, StoreError):
        assert committed == [told.id]
    elif told.info.outcome == DID_NOT_HAPPEN:
        assert committed == []
    elif told.info.outcome == HAPPENED:
        assert committed == [told.info.transaction]
    else:
        assert told.info.outcome == UNKNOWN
    assert scene.is_even()


@settings(max_examples=300, deadline=None)
@given(casts, timeouts)
def test_a_read_is_over_in_time_and_never_unknown(cast: list[list[Plan]], timeout: float) -> None:
    scene = Scene(cast, timeout)
    told = scene.submit(READ)
    assert not isinstance(told, StoreError) or told.info.outcome == DID_NOT_HAPPEN
    assert scene.is_even()


@settings(max_examples=300, deadline=None)
@given(casts, timeouts, st.booleans())
def test_a_question_is_over_in_time(cast: list[list[Plan]], timeout: float, fence: bool) -> None:
    scene = Scene(cast, timeout)
    scene.ask(scene.calls.fence(txn_id(1)) if fence else scene.calls.fate(txn_id(1)))
    scene.ask(scene.calls.status())
    assert scene.is_even()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(plans, min_size=1, max_size=3), min_size=2, max_size=2))
def test_with_one_node_well_a_read_succeeds_unless_another_one_keeps_it_waiting(cast: list[list[Plan]]) -> None:
    """Who goes on sending and never answers is taken for one that is at work."""
    keeps_waiting = ("trickles", "strays", "named, trickles", "named, strays")
    for plan in (plan for plans in cast for plan in plans):
        plan.handshake = "hangs" if plan.handshake in keeps_waiting else plan.handshake
        plan.call = "silent" if plan.call in keeps_waiting else plan.call
    scene = Scene([*cast, [Plan()]], 10.0)
    assert not isinstance(scene.submit(READ), StoreError)


@pytest.mark.parametrize(("call", "longest_s"), [("named, silent", 2.5), ("takes nothing", 5.0), ("silent", 0.0)])
def test_a_node_that_stops_is_left_long_before_the_time_is_up(call: str, longest_s: float) -> None:
    """A named transaction is fenced elsewhere and made again; a query only goes elsewhere."""
    scene = Scene([[Plan()], [Plan(call=call, commits=False)]], 10.0)
    if longest_s:
        assert scene.submit(WRITE).state == "committed"
        assert scene.world.now - 100.0 < longest_s
    scene = Scene([[Plan()], [Plan(call=call)]], 10.0)
    assert scene.submit(READ).state == "committed"
    assert scene.world.now - 100.0 < 5.0


@pytest.mark.parametrize("step", [field.name for field in fields(Plan) if field.type == "str"])
def test_each_thing_that_may_go_wrong_is_survived_where_it_can_be(step: str) -> None:
    """With one node failing in each way and one well, a write is answered. Without a key it is unknown where nobody
    could know; under a key only if the node goes on sending, so that it is taken for one that is at work."""
    for does in {"dial": DIALS, "handshake": HANDSHAKES, "call": CALLS, "fate": FATES}[step]:
        broken = Plan(**{step: does})  # type: ignore[arg-type]
        scene = Scene([[Plan()], [broken]], 10.0)  # the second one is turned to first
        told = scene.submit(WRITE)
        keyed = Scene([[Plan()], [broken]], 10.0).submit(WRITE, KEY)
        assert isinstance(keyed, StoreError) == ((step, does) == ("call", "strays")), (does, keyed)
        is_hopeless = step == "call" and (
            does.startswith(("silent", "resets", "half name", "garbage", "strays")) and "named" not in does
        )
        assert isinstance(told, StoreError) == is_hopeless, (does, told)
        if is_hopeless:
            assert told.info.outcome == UNKNOWN
