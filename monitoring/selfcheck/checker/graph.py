"""Who must have come before whom, and the cycles of it.

An edge has a kind (Adya's ww, wr and rw, the last of an item or of a predicate, and those of sessions and time), and
says why it is there. *Invariants*: the same edges in the same order give the same answers; strongly connected
components are found in time linear in the edges (Tarjan, SIAM J. Comput. 1972), without recursion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from monitoring.selfcheck.checker.history import Transaction, text

WW, WR, RW, PREDICATE_RW, PROCESS, REALTIME = 1, 2, 4, 8, 16, 32
TIMED = 64  # beside a kind: it rests on time as well
NAMES = {WW: "ww", WR: "wr", RW: "rw", PREDICATE_RW: "rw (predicate)", PROCESS: "process", REALTIME: "real time"}
V = TypeVar("V", bound=Hashable)


class Edge(NamedTuple):
    """`source` came before `target`. `is_timed`: it rests on when they were asked and told, beside the values.
    `form` has the words, with places
    for source, target and then `values`."""

    kind: int
    source: Transaction
    target: Transaction
    form: str
    values: tuple[Any, ...]
    is_timed: bool = False

    @property
    def needs(self) -> int:
        """What has to be looked at for it to be there: kinds, joined."""
        return self.kind | TIMED if self.is_timed else self.kind

    def __str__(self) -> str:
        return f"{NAMES[self.kind]}: {self.form.format(self.source, self.target, *map(text, self.values))}"


class Graph:
    """Edges between transactions; those to itself are left out."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self._onward: dict[Transaction, dict[Transaction, list[Edge]]] = {}
        self.counts = dict.fromkeys(NAMES.values(), 0)
        for edge in edges:
            if edge.source is not edge.target:
                self.counts[NAMES[edge.kind]] += 1
                self._onward.setdefault(edge.source, {}).setdefault(edge.target, []).append(edge)

    def vertices(self) -> list[Transaction]:
        """All that something leads away from."""
        return list(self._onward)

    def edges(self, source: Transaction, kinds: int) -> Iterator[Edge]:
        """To each other transaction the plainest of those kinds that there is."""
        for edges in self._onward.get(source, {}).values():
            fitting = [edge for edge in edges if not edge.needs & ~kinds]
            if fitting:
                yield min(fitting, key=lambda edge: edge.needs)

    def onward(self, within: Collection[Transaction], kinds: int) -> Callable[[Transaction], Iterator[Transaction]]:
        """The successors of a transaction, among those."""
        return lambda source: (edge.target for edge in self.edges(source, kinds) if edge.target in within)

    def edge(self, source: Transaction, target: Transaction, kinds: int) -> Edge:
        fitting = [edge for edge in self._onward[source][target] if not edge.needs & ~kinds]
        return min(fitting, key=lambda edge: edge.needs)


def components(vertices: Iterable[V], onward: Callable[[V], Iterable[V]]) -> list[list[V]]:
    """Strongly connected components of two vertices and more."""
    found: list[list[V]] = []
    index: dict[V, int] = {}
    low: dict[V, int] = {}
    open_: dict[V, None] = {}
    for root in vertices:
        if root in index:
            continue
        path: list[tuple[V, Iterator[V]]] = []
        _enter(root, path, index, low, open_, onward)
        while path:
            vertex, rest = path[-1]
            other = next((each for each in rest if each not in index or each in open_), None)
            if other is None:
                _leave(path, low, index, open_, found)
            elif other in index:
                low[vertex] = min(low[vertex], index[other])
            else:
                _enter(other, path, index, low, open_, onward)
    return found


def _enter(
    vertex: V,
    path: list[tuple[V, Iterator[V]]],
    index: dict[V, int],
    low: dict[V, int],
    open_: dict[V, None],
    onward: Callable[[V], Iterable[V]],
) -> None:
    index[vertex] = low[vertex] = len(index)
    open_[vertex] = None
    path.append((vertex, iter(onward(vertex))))


def _leave(
    path: list[tuple[V, Iterator[V]]],
    low: dict[V, int],
    index: dict[V, int],
    open_: dict[V, None],
    found: list[list[V]],
) -> None:
    """All that leads on from the last vertex is seen. If nothing leads back behind it, it closes a component."""
    vertex, _ = path.pop()
    if path:
        low[path[-1][0]] = min(low[path[-1][0]], low[vertex])
    if low[vertex] == index[vertex]:
        component: list[V] = []
        while not component or component[-1] != vertex:
            component.append(open_.popitem()[0])
        if len(component) > 1:
            found.append(component[::-1])


def path(start: V, end: V, onward: Callable[[V], Iterable[V]]) -> list[V]:
    """A shortest one of at least one step, both ends included; [] if there is none."""
    back: dict[V, V] = {}
    queue = deque([start])
    while queue:
        vertex = queue.popleft()
        for other in onward(vertex):
            if other == end:
                steps = [end, vertex]
                while steps[-1] != start:
                    steps.append(back[steps[-1]])
                return steps[::-1]
            if other not in back and other != start:
                back[other] = vertex
                queue.append(other)
    return []


def reach(vertices: Collection[V], onward: Callable[[V], Iterable[V]]) -> dict[V, int]:
    """Of each vertex of a graph without cycles all that it leads to, as the bits of their places in `vertices`."""
    bits = {vertex: 1 << place for place, vertex in enumerate(vertices)}
    known: dict[V, int] = {}
    for root in vertices:
        way = [(root, iter(onward(root)))]
        while way:
            vertex, rest = way[-1]
            other = next((each for each in rest if each not in known), None)
            if other is not None:
                way.append((other, iter(onward(other))))
                continue
            way.pop()
            known[vertex] = 0
            for each in onward(vertex):
                known[vertex] |= known[each] | bits[each]
    return known
