"""Ballots: one integer that orders all leaders of a group, `number * 256 + node`.

*Invariants*: no two nodes share a ballot (P08); a node never uses one again, because it picks above its own durable
promise and its promise of the new one is durable before it is used (P09). Paxos Made Simple 2.2.
"""

from __future__ import annotations

CHOSEN = 1 << 62  # stands for the ballot of a value known to be chosen: nothing outranks it


def ballot_of(number: int, node: int) -> int:
    return number << 8 | node


def node_of(ballot: int) -> int:
    return ballot & 255


def next_ballot(above: int, node: int) -> int:
    """The least ballot of `node` whose number is greater than that of `above`."""
    return ballot_of((above >> 8) + 1, node)
