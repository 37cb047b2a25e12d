"""What a gateway tells of fates beside their homes, and at once when who could tell more is not connected."""

from __future__ import annotations

from typing import Any

import pytest

from nodes import ids
from nodes.core.txn.messages import FateKnown
from nodes.errors import DID_NOT_HAPPEN, HAPPENED, UNKNOWN, OutcomeUnknown, StoreError, Unavailable
from nodes.requests import ABORTED, ACTIVE, COMMITTED, UNDECIDED, Fate
from nodes.runtime.inquiries import GATEWAY_SHARE, GATEWAY_TICKS, Inquiries
from nodes.runtime.messages import GatewayTells, Relay, Relayed
from nodes.runtime.relays import AGAIN_TICKS, Relays
from nodes.wire.protocol import COMMIT, RUN, Within

CLUSTER = b"cluster 1"
TXN = ids.mint(1 << 20, 2, 1, 1, "c1", CLUSTER)
TEXT = ids.to_text(TXN)


class Around:
    """Node n1, as far as questions and relays need it; `sent` is what left to other gateways."""

    node, boot, now, shards, coordinators, cluster_id = 1, 1, 0, 6, 3, CLUSTER

    def __init__(self) -> None:
        self.connected = {1, 2, 3}
        self.sent: list[tuple[int, Any]] = []
        self.asked: list[Any] = []

    def send(self, node: int, target: str, message: Any) -> None:
        self.sent.append((node, message))

    def to_leader(self, group: str, message: Any) -> int:
        self.asked.append(message)
        return 3

    def leader_of(self, group: str) -> int:
        return 3

    def is_connected(self, node: int) -> bool:
        return node in self.connected


class Asked:
    """One question for the fate of TXN; `told` is what came of it."""

    def __init__(self, fence: bool = False, timeout_ms: int = 10_000) -> None:
        self.around = Around()
        numbers = iter(range(1, 100))
        self.inquiries = Inquiries(self.around, None, lambda: next(numbers))  # type: ignore[arg-type]
        self.told: list[Fate | StoreError] = []
        self.inquiries.ask_fate(TEXT, fence, timeout_ms, self.told.append)

    def home_says(self, state: str, commit_ts: int = 0) -> None:
        assert self.around.asked, "its home is not asked"
        number = self.around.asked[-1].number
        self.inquiries.receive(3, FateKnown(number, TXN, state, commit_ts, "", known_since=7))

    def gateway_says(self, state: str, reason: str, fenced: bool = False) -> None:
        ((node, message),) = self.around.sent
        assert (node, message.txn, message.fenced) == (2, TXN, fenced)
        self.inquiries.receive(2, GatewayTells(message.number, state, reason))

    @property
    def states(self) -> list[str]:
        """Of the fates that were told."""
        return [told.state for told in self.told if isinstance(told, Fate)]

    def wait(self, ticks: int) -> None:
        for _ in range(ticks):
            self.around.now += 1
            self.inquiries.tick()


@pytest.mark.parametrize(
    ("state", "outcome"),
    [(ACTIVE, UNKNOWN), (ABORTED, DID_NOT_HAPPEN), (UNDECIDED, UNKNOWN), (COMMITTED, HAPPENED)],
)
def test_where_the_home_has_no_decision_the_gateway_of_the_id_tells_more(state: str, outcome: str) -> None:
    asked = Asked()
    asked.home_says(UNDECIDED)
    assert asked.told == []
    asked.gateway_says(state, "in words")
    assert asked.told == [Fate(TEXT, state, outcome, 0, "in words", known_since=7)]


@pytest.mark.parametrize("state", [COMMITTED, ABORTED, ACTIVE, "expired"])
def test_what_the_home_knows_is_told_without_the_gateway(state: str) -> None:
    asked = Asked()
    asked.home_says(state, 5)
    assert asked.states == [state]
    assert asked.around.sent == []


@pytest.mark.parametrize(("is_connected", "ticks"), [(False, 1), (True, GATEWAY_TICKS)])
def test_a_gateway_that_is_not_reached_is_not_waited_for(is_connected: bool, ticks: int) -> None:
    asked = Asked()
    asked.home_says(UNDECIDED)
    if not is_connected:
        asked.around.connected.remove(2)
    asked.wait(ticks - 1)
    assert asked.told == []
    asked.wait(1)
    (told,) = asked.told
    assert isinstance(told, Fate)
    assert told.state == UNDECIDED
    assert "n2, which minted the id" in told.reason
    assert "fence it" in told.reason


@pytest.mark.parametrize("state", [ACTIVE, ABORTED, UNDECIDED])
def test_a_fence_is_told_to_the_gateway_of_the_id_and_then_put_through_the_home(state: str) -> None:
    asked = Asked(fence=True)
    assert asked.around.asked == []
    asked.gateway_says(state, "", fenced=True)
    (question,) = asked.around.asked
    assert question.fence
    assert asked.states == []
    asked.home_says(ABORTED)
    assert asked.states == [ABORTED]
    asked.wait(100)
    assert (len(asked.around.sent), len(asked.around.asked)) == (1, 1)


@pytest.mark.parametrize(("at_home", "told"), [(UNDECIDED, COMMITTED), (ABORTED, ABORTED)])
def test_what_only_read_and_is_committed_is_not_aborted_by_a_fence(at_home: str, told: str) -> None:
    """Unless it was fenced before, when its gateway could not be asked."""
    asked = Asked(fence=True)
    asked.gateway_says(COMMITTED, "it only read", fenced=True)
    (question,) = asked.around.asked
    assert not question.fence
    asked.home_says(at_home)
    assert asked.states == [told]


@pytest.mark.parametrize(("is_connected", "ticks"), [(False, 1), (True, GATEWAY_TICKS)])
def test_a_fence_does_without_a_gateway_that_does_not_answer(is_connected: bool, ticks: int) -> None:
    asked = Asked(fence=True)
    if not is_connected:
        asked.around.connected.remove(2)
    asked.wait(ticks - 1)
    assert asked.around.asked == []
    asked.wait(1)
    (question,) = asked.around.asked
    assert question.fence
    asked.home_says(ABORTED)
    assert asked.states == [ABORTED]


def test_a_fence_that_has_little_time_spends_it_on_the_home() -> None:
    asked = Asked(fence=True, timeout_ms=1_000)
    asked.wait(int(20 * GATEWAY_SHARE))
    assert len(asked.around.asked) == 1


# -- what is asked in a transaction of another node


def relays(around: Around) -> Relays:
    def within(message: Within, then: Any) -> None:
        raise AssertionError("nothing is asked of this node")

    return Relays(around, within)  # type: ignore[arg-type]


@pytest.mark.parametrize("verb", [RUN, COMMIT])
def test_what_cannot_reach_the_node_that_holds_it_is_refused_at_once_and_was_not_done(verb: int) -> None:
    around, told = Around(), []
    around.connected.remove(2)
    relays(around).ask(2, Within(0, TEXT, verb, timeout_ms=60_000), told.append)
    (error,) = told
    assert isinstance(error, Unavailable)
    assert (error.info.outcome, error.info.retryable, error.info.transaction) == (DID_NOT_HAPPEN, True, TEXT)
    assert "n2, which holds the transaction, is not connected to n1" in str(error)
    assert around.sent == []


@pytest.mark.parametrize(("verb", "kind"), [(RUN, Unavailable), (COMMIT, OutcomeUnknown)])
def test_what_was_sent_to_a_node_that_is_lost_is_not_waited_for(verb: int, kind: type[StoreError]) -> None:
    around, told = Around(), []
    passing = relays(around)
    passing.ask(2, Within(0, TEXT, verb, timeout_ms=60_000), told.append)
    around.connected.remove(2)
    for _ in range(AGAIN_TICKS):
        assert told == []
        around.now += 1
        passing.tick()
    (error,) = told
    assert isinstance(error, kind)
    assert (error.info.retryable, error.info.transaction) == (False, TEXT)
    assert "not connected to n1 any more" in str(error)


def test_a_connection_that_is_back_in_time_costs_nothing() -> None:
    around, told = Around(), []
    passing = relays(around)
    passing.ask(2, Within(0, TEXT, RUN, timeout_ms=60_000), told.append)
    around.connected.remove(2)
    for ticks in range(AGAIN_TICKS):
        around.connected |= {2} if ticks == AGAIN_TICKS - 2 else set()
        around.now += 1
        passing.tick()
    (_, first), (_, again) = around.sent
    assert isinstance(first, Relay)
    assert first == again
    passing.on_relayed(Relayed(first.number))
    assert told == [[]]
