"""The lock table of one shard leader: multi-granularity locks, wound-wait by age (DESIGN.md §5).

Nodes of the tree are `(table, key)`; key b"" is the whole table on this shard. Modes are Gray's IS IX S SIX X (Gray,
Lorie, Putzolu, Traiger 1976). A request asks for all its nodes at once and gets all of them or waits, holding what it
held before. It waits for conflicting holders and for *older* conflicting waiters only, upgrades too.

*Invariants*: no two transactions hold conflicting modes of a node. A younger one never makes an older one wait but by
holding what the older one wounds. `settle` grants in order of age.

*Left out*: who may be ended by a wound, and how; the participant decides.
"""

from __future__ import annotations

from collections.abc import Iterable

Node = tuple[int, bytes]

IS, IX, S, SIX, X = range(5)
MODES = {"IS": IS, "IX": IX, "S": S, "SIX": SIX, "X": X}
NAMES = ("IS", "IX", "S", "SIX", "X")
_COMPATIBLE = {(IS, IS), (IS, IX), (IS, S), (IS, SIX), (IX, IS), (IX, IX), (S, IS), (S, S), (SIX, IS)}
CONFLICT = tuple(tuple((a, b) not in _COMPATIBLE for b in range(5)) for a in range(5))
_WEAKER = {IS: {IS}, IX: {IS, IX}, S: {IS, S}, SIX: {IS, IX, S, SIX}, X: {IS, IX, S, SIX, X}}


def _join(a: int, b: int) -> int:
    if b in _WEAKER[a]:
        return a
    return b if a in _WEAKER[b] else SIX


JOIN = tuple(tuple(_join(a, b) for b in range(5)) for a in range(5))


class Waiter:
    """A transaction that waits for `need`, a list of (node, mode)."""

    __slots__ = ("age", "need", "txn")

    def __init__(self, txn: bytes, age: bytes, need: list[tuple[Node, int]]) -> None:
        self.txn = txn
        self.age = age
        self.need = need


class LockTable:
    """Locks of one shard, in the memory of its leader."""

    def __init__(self) -> None:
        self._holders: dict[Node, dict[bytes, int]] = {}
        self._held: dict[bytes, dict[Node, int]] = {}
        self._ages: dict[bytes, bytes] = {}
        self._waiters: dict[bytes, Waiter] = {}
        self._queues: dict[Node, dict[bytes, Waiter]] = {}

    # -- what is asked

    def request(self, txn: bytes, age: bytes, need: Iterable[tuple[Node, int]]) -> bool:
        """True: all granted. False: `txn` now waits; `wounds_of(txn)` names whom it wounds."""
        assert txn not in self._waiters, "a transaction waits for one request at a time"
        waiter = Waiter(txn, age, list(need))
        if not self._is_blocked(waiter):
            self._grant(waiter)
            return True
        self._waiters[txn] = waiter
        for node, _ in waiter.need:
            self._queues.setdefault(node, {})[txn] = waiter
        return False

    def is_free(self, txn: bytes, age: bytes, need: Iterable[tuple[Node, int]]) -> bool:
        """Would `request` grant all of it at once?"""
        return not self._is_blocked(Waiter(txn, age, list(need)))

    def release(self, txn: bytes) -> list[bytes]:
        """Everything `txn` holds or waits for goes; returns who is granted by that, oldest first."""
        touched = list(self._drop_waiter(txn))
        for node in self._held.pop(txn, ()):
            holders = self._holders[node]
            del holders[txn]
            if not holders:
                del self._holders[node]
            touched.append(node)
        self._ages.pop(txn, None)
        return self._settle(touched)

    def rebuild(self, txn: bytes, age: bytes, held: Iterable[tuple[Node, int]]) -> None:
        """A new leader grants what an unresolved prepare holds."""
        waiter = Waiter(txn, age, list(held))
        assert not self._is_blocked(waiter), "two prepared transactions hold conflicting locks"
        self._grant(waiter)

    # -- what is seen

    def held_by(self, txn: bytes) -> dict[Node, int]:
        return self._held.get(txn, {})

    def wounds_of(self, txn: bytes) -> dict[bytes, Node]:
        """The younger holders that the waiting `txn` conflicts with, and where."""
        waiter = self._waiters[txn]
        found: dict[bytes, Node] = {}
        for node, mode in waiter.need:
            target = self._target(txn, node, mode)
            for other, held in self._holders.get(node, {}).items():
                if other != txn and CONFLICT[held][target] and self._ages[other] > waiter.age:
                    found.setdefault(other, node)
        return found

    def is_waiting(self, txn: bytes) -> bool:
        return txn in self._waiters

    @property
    def is_any_waiting(self) -> bool:
        return bool(self._waiters)

    def waiting(self) -> list[bytes]:
        """All that wait, oldest first."""
        return [w.txn for w in sorted(self._waiters.values(), key=lambda w: w.age)]

    def conflicting(self, need: Iterable[tuple[Node, int]]) -> dict[bytes, None]:
        """Holders whose modes conflict with `need` (a reader that takes no lock asks whom it must wait for)."""
        found: dict[bytes, None] = {}
        for node, mode in need:
            for other, held in self._holders.get(node, {}).items():
                if CONFLICT[held][mode]:
                    found[other] = None
        return found

    def blocker_of(self, txn: bytes) -> tuple[bytes, Node] | None:
        """One transaction that the waiting `txn` waits for, and where (for the words of an error): who holds the lock,
        else an older one that waits for it; None if it does not wait."""
        waiter = self._waiters.get(txn)
        if waiter is None:
            return None
        for node, mode in waiter.need:
            target = self._target(txn, node, mode)
            for other, held in self._holders.get(node, {}).items():
                if other != txn and CONFLICT[held][target]:
                    return other, node
        for node, mode in waiter.need:
            others = (other for other in self._queues[node].values() if other.age < waiter.age)
            older = self._in_front(others, node, self._target(txn, node, mode))
            if older is not None:
                return older.txn, node
        return None

    def __len__(self) -> int:
        return len(self._held) + len(self._waiters)

    # -- how it is decided

    def _target(self, txn: bytes, node: Node, mode: int) -> int:
        held = self._held.get(txn)
        now = held.get(node) if held else None
        return mode if now is None else JOIN[now][mode]

    def _is_blocked(self, waiter: Waiter) -> bool:
        txn = waiter.txn
        for node, mode in waiter.need:
            holders = self._holders.get(node)
            queue = self._queues.get(node)
            if holders is None and queue is None:
                continue
            target = self._target(txn, node, mode)
            if holders:
                if holders.get(txn) == target:
                    continue
                for other, held in holders.items():
                    if other != txn and CONFLICT[held][target]:
                        return True
            if queue:
                older = (other for other in queue.values() if other.age < waiter.age)
                if self._in_front(older, node, target) is not None:
                    return True
        return False

    def _in_front(self, others: Iterable[Waiter], node: Node, target: int) -> Waiter | None:
        """One of these that waits for a mode of the node that conflicts with `target`."""
        for other in others:
            for wanted, mode in other.need:
                if wanted == node and CONFLICT[self._target(other.txn, node, mode)][target]:
                    return other
        return None

    def _grant(self, waiter: Waiter) -> None:
        txn = waiter.txn
        held = self._held.setdefault(txn, {})
        self._ages[txn] = waiter.age
        for node, mode in waiter.need:
            now = held.get(node)
            target = mode if now is None else JOIN[now][mode]
            held[node] = target
            holders = self._holders.get(node)
            if holders is None:
                self._holders[node] = {txn: target}
            else:
                holders[txn] = target

    def _drop_waiter(self, txn: bytes) -> list[Node]:
        waiter = self._waiters.pop(txn, None)
        if waiter is None:
            return []
        for node, _ in waiter.need:
            queue = self._queues.get(node)
            if queue is not None:
                queue.pop(txn, None)
                if not queue:
                    del self._queues[node]
        return [node for node, _ in waiter.need]

    def _settle(self, touched: list[Node]) -> list[bytes]:
        candidates: dict[bytes, Waiter] = {}
        for node in touched:
            candidates.update(self._queues.get(node, {}))
        granted = []
        for waiter in sorted(candidates.values(), key=lambda w: w.age):
            if not self._is_blocked(waiter):
                self._drop_waiter(waiter.txn)
                self._grant(waiter)
                granted.append(waiter.txn)
        return granted
