"""Cycles and their names (Adya 1999, section 4.2; Cerone and Gotsman, JACM 2018, for G-nonadjacent).

Transactions of one strongly connected component are told by one cycle, the one that rules out most: first of what they
read and wrote alone, then of that and of sessions, then of real time as well. A component in which time alone closes
no cycle is searched in the same way for each:

    G0             ww alone
    G1c            ww and wr
    G-single       ww, wr, and one rw
    G-nonadjacent  rw as many as you like, but none behind another
    G2-item, G2    any; G2 needs one of a predicate
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from monitoring.selfcheck.checker import anomalies as names
from monitoring.selfcheck.checker.anomalies import Anomaly
from monitoring.selfcheck.checker.graph import (
    PREDICATE_RW,
    PROCESS,
    REALTIME,
    RW,
    TIMED,
    WR,
    WW,
    Edge,
    Graph,
    components,
    path,
    reach,
)
from monitoring.selfcheck.checker.history import Transaction

ANTI = RW | PREDICATE_RW
ALL = WW | WR | ANTI | PROCESS | REALTIME | TIMED
CYCLES_TRIED = 100
MOST_TOLD = 10

Step = tuple[Transaction, bool]  # and whether an rw edge led there


def find(graph: Graph) -> list[Anomaly]:
    """At most MOST_TOLD, the shortest component first."""
    vertices = graph.vertices()
    knots = components(vertices, graph.onward(set(vertices), ALL))
    return [Knot(graph, knot).worst() for knot in sorted(knots, key=len)[:MOST_TOLD]]


class Knot:
    """One strongly connected component."""

    def __init__(self, graph: Graph, members: list[Transaction]) -> None:
        self.graph, self.members, self.within = graph, members, set(members)

    def worst(self) -> Anomaly:
        for time in (0, PROCESS, PROCESS | REALTIME | TIMED):
            for name, cycle in self._cycles(time):
                if cycle:
                    return _told(name, cycle)
        raise AssertionError("a component has a cycle")

    def _cycles(self, time: int) -> Iterator[tuple[str, list[Edge]]]:
        """Each name, the worst first, with a cycle that there is not without it; [] for none."""
        plain = WW | WR | time
        yield names.G0, self._shortest(WW | time)
        yield names.G1C, self._shortest(plain)
        yield names.G_SINGLE, self._single(plain)
        yield names.G_NONADJACENT, self._nonadjacent(plain)
        yield names.G2_ITEM, self._shortest(plain | RW)
        yield names.G2, self._shortest(plain | ANTI)

    def _shortest(self, kinds: int) -> list[Edge]:
        onward = self.graph.onward(self.within, kinds)
        found = min(components(self.members, onward), key=len, default=[])
        within = set(found)
        onward = self.graph.onward(within, kinds)
        ways = [path(start, start, onward) for start in found[:CYCLES_TRIED]]
        return self._edges(min(ways, key=len), kinds) if ways else []

    def _single(self, plain: int) -> list[Edge]:
        """One rw edge, and a way back without one."""
        onward = self.graph.onward(self.within, plain)
        known = reach(self.members, onward)
        bits = {vertex: 1 << place for place, vertex in enumerate(self.members)}
        closing = [
            edge for vertex in self.members for edge in self._anti(vertex, plain) if known[edge.target] & bits[vertex]
        ]
        ways = [(path(edge.target, edge.source, onward), edge) for edge in closing[:CYCLES_TRIED]]
        if not ways:
            return []
        way, edge = min(ways, key=lambda found: len(found[0]))
        return [edge, *self._edges(way, plain)]

    def _nonadjacent(self, plain: int) -> list[Edge]:
        """A closed way on which behind an rw edge comes another kind. There is none with fewer than two."""
        steps: list[Step] = [(vertex, by_anti) for vertex in self.members for by_anti in (False, True)]

        def onward(step: Step) -> Iterator[Step]:
            vertex, by_anti = step
            yield from ((edge.target, False) for edge in self.graph.edges(vertex, plain) if edge.target in self.within)
            if not by_anti:
                yield from ((edge.target, True) for edge in self._anti(vertex, plain))

        found = min(components(steps, onward), key=len, default=[])
        ways = [path(start, start, onward) for start in found[:CYCLES_TRIED]]
        if not ways:
            return []
        way = min(ways, key=len)
        pairs = pairwise(way)
        return [self.graph.edge(one, other, ANTI | (plain & TIMED) if by else plain) for (one, _), (other, by) in pairs]

    def _anti(self, vertex: Transaction, plain: int) -> Iterator[Edge]:
        """rw edges, within the component."""
        return (edge for edge in self.graph.edges(vertex, ANTI | (plain & TIMED)) if edge.target in self.within)

    def _edges(self, way: list[Transaction], kinds: int) -> list[Edge]:
        return [self.graph.edge(one, other, kinds) for one, other in pairwise(way)]


def _told(name: str, cycle: list[Edge]) -> Anomaly:
    if any(edge.is_timed or edge.kind == REALTIME for edge in cycle):
        name += names.OF_REALTIME
    elif any(edge.kind == PROCESS for edge in cycle):
        name += names.OF_PROCESS
    lines = [f"{edge.source.described()}\n    {edge}" for edge in cycle]
    words = "Each came before the next, and the last before the first:\n  " + "\n  ".join(lines)
    return Anomaly(name, words, tuple(edge.source for edge in cycle))
