"""Cycles of a directed graph: of who waits for whom, of which transaction must come before which.

*Invariants*: the same edges in the same order give the same cycle, whatever the hash seed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

Vertex = TypeVar("Vertex", bound=Hashable)


def cycle_in(edges: Iterable[tuple[Vertex, Vertex]]) -> list[Vertex]:
    """A cycle as its vertices in order, [] if there is none. What nothing points at is taken
    away until nothing changes; from whatever is left one walks back into a cycle."""
    onward: dict[Vertex, dict[Vertex, None]] = {}
    count: dict[Vertex, int] = {}  # of edges that point at it
    for one, other in edges:
        if other not in onward.setdefault(one, {}):
            onward[one][other] = None
            count[other] = count.get(other, 0) + 1
    free = [vertex for vertex in onward if not count.get(vertex)]
    while free:
        for other in onward.pop(free.pop()):
            count[other] -= 1
            if not count[other] and other in onward:
                free.append(other)
    return _walk(onward)


def _walk(onward: dict[Vertex, dict[Vertex, None]]) -> list[Vertex]:
    """Every vertex left is pointed at by one that is left: walk backwards until one comes again."""
    back: dict[Vertex, Vertex] = {}
    for one, others in onward.items():
        for other in others:
            back.setdefault(other, one)
    if not back or not onward:
        return []
    path: list[Vertex] = [next(iter(onward))]
    places = {path[0]: 0}
    while back[path[-1]] not in places:
        path.append(back[path[-1]])
        places[path[-1]] = len(path) - 1
    return path[places[back[path[-1]]] :][::-1]
