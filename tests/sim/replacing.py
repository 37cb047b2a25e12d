"""A node is replaced by a new one in the middle of a run, as an operator would: it is let in, and an order is given.

Mostly the old one is dead for good, or dies of something else meanwhile; gateways lose the order, and it is given
again. In the end nothing may be left of the old node, and every group must have all its replicas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodes.core.membership import NodeFacts
from nodes.core.roster import ADD, REMOVE, REPLACE, Order
from nodes.errors import OutcomeUnknown, StoreError, Unavailable
from nodes.requests import Nodes
from tests.sim.timeline import MS, SECOND
from tests.sim.truth import Violation

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

ASK_AGAIN = 400 * MS


class Replacing:
    """`plan` may do nothing; `why_not_done` says what of it is not carried out yet, in peace."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.going: list[int] = []
        self._orders: list[Order] = []

    def plan(self) -> None:
        rng, schedule = self.simulation.schedule.rng, self.simulation.schedule
        schedule.at(int(rng.uniform(0, 4) * SECOND), "replace a node", self._begin)

    def _begin(self) -> None:
        cluster, rng = self.simulation.cluster, self.simulation.schedule.rng
        going, newcomer = rng.choice(cluster.here()), max(cluster.nodes) + 1
        self.going.append(going)
        if rng.random() < 0.5:
            cluster.bury(going)
        cluster.add(newcomer)
        facts = NodeFacts(newcomer, b"i%d" % newcomer, "", newcomer)
        leave = Order(REPLACE, going, newcomer) if rng.random() < 0.7 else Order(REMOVE, going)
        self._orders += [Order(ADD, newcomer, facts=facts), leave]
        self._give()

    def _give(self) -> None:
        """The order that is due, at any node; again until it is written down."""
        cluster, rng = self.simulation.cluster, self.simulation.schedule.rng
        if not self._orders:
            return
        order = self._orders[0]
        nodes = [node for node in cluster.here() if cluster.nodes[node].life is not None]
        life = cluster.nodes[rng.choice(nodes)].life if nodes else None
        driver = life.driver if life is not None else None

        def then(answer: Nodes | StoreError) -> None:
            if isinstance(answer, StoreError) and not isinstance(answer, Unavailable | OutcomeUnknown):
                raise Violation("15 orders", f"{order} is refused: {answer}")
            if isinstance(answer, Nodes) and self._orders[:1] == [order]:
                self._orders.pop(0)

        def ask() -> None:
            assert driver is not None, "a running node has a driver"
            driver.gateway.inquiries.change_nodes(order, 2_000, then)
            driver.wake()

        if life is not None and driver is not None:
            cluster.say(f"order: {order.action} n{order.node}", driver.node, ">")
            life.do(ask)
        self.simulation.schedule.later(ASK_AGAIN, self._give)

    def why_not_done(self) -> str:
        if self._orders:
            return f"{self._orders[0]} is not written down"
        for driver in self.simulation.cluster.drivers():
            for name, members in driver.placement.all_members().items():
                for node in self.going:
                    if node in members.all:
                        return f"n{driver.node} takes n{node} for a member of {name}"
                if len(members.voters) != len(driver.placement.founded[name]):
                    return f"n{driver.node} takes {members.voters} for the voters of {name}"
        return ""
