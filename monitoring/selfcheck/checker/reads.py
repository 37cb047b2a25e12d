"""What transactions read of others, told from what they read of themselves; and reads that cannot be.

A transaction that wrote a key before it read it shows what was there before its own writes; one that reads it again
must read the same. What it read of others was written by somebody, who has happened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from monitoring.selfcheck.checker.anomalies import DUPLICATE, G1A, G1B, GARBAGE, INTERNAL, LOST_UPDATE, Anomaly, anomaly
from monitoring.selfcheck.checker.graph import Edge
from monitoring.selfcheck.checker.history import DID_NOT_HAPPEN, HAPPENED, NOT_TOLD, Transaction, Writers, text


class Read(NamedTuple):
    """What `txn` read of `key` as others had left it."""

    txn: Transaction
    key: Hashable
    value: Any


@dataclass
class Found:
    """What one kind of data shows: anomalies, and who must have come before whom."""

    anomalies: list[Anomaly] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def tell(self, name: str, words: str, *transactions: Transaction) -> None:
        self.anomalies.append(anomaly(name, words, *transactions))


class Reads(ABC):
    """The reads of one kind of data in a history, and what is wrong with each of them alone."""

    write: str
    read: str

    def __init__(self, history: list[Transaction]) -> None:
        self.found = Found()
        self.history = history
        self.writers = Writers(history, self.write)
        self.reads = [read for txn in history if txn.outcome == HAPPENED for read in self._of(txn)]

    # -- what differs between kinds

    @abstractmethod
    def before_own(self, value: Any, own: list[Any]) -> Any:
        """What was there before the reader itself wrote `own`; NOT_TOLD if the value does not show that. ValueError if
        its own writes are not where they must be."""

    @abstractmethod
    def after(self, value: Any, written: Any) -> Any:
        """The value with one more write."""

    @abstractmethod
    def parts(self, value: Any) -> list[Any]:
        """The writes that a value shows."""

    # -- a transaction by itself

    def _of(self, txn: Transaction) -> Iterator[Read]:
        known: dict[Hashable, Any] = {}
        own: dict[Hashable, list[Any]] = {}
        for operation in txn.operations:
            key, value = operation.key, operation.value
            if operation.kind == self.write:
                own.setdefault(key, []).append(value)
                if key in known:
                    known[key] = self.after(known[key], value)
            elif operation.kind == self.read and value is not NOT_TOLD:
                if key in known and known[key] != value:
                    self._tell_internal(txn, f"{text(value)} of {key}, which must have been {text(known[key])}")
                elif key not in known:
                    yield from self._first(txn, key, value, own.get(key, []))
                known[key] = value

    def _first(self, txn: Transaction, key: Hashable, value: Any, own: list[Any]) -> Iterator[Read]:
        try:
            before = self.before_own(value, own)
        except ValueError:
            self._tell_internal(txn, f"{text(value)} of {key}, and had written {text(tuple(own))}")
            return
        if before is not NOT_TOLD and self._is_sound(txn, key, before):
            yield Read(txn, key, before)

    def _tell_internal(self, txn: Transaction, words: str) -> None:
        self.found.tell(INTERNAL, f"{txn} read {words}:", txn)

    # -- by whom it was written

    def _is_sound(self, txn: Transaction, key: Hashable, value: Any) -> bool:
        """Is each part of what it read there once, and written by somebody who may have happened?"""
        sound = True
        parts = self.parts(value)
        if len(set(parts)) < len(parts):
            self.found.tell(DUPLICATE, f"{txn} read {text(value)} of {key}:", txn)
            sound = False
        for part in parts:
            writer = self.writers.of(key, part)
            if writer is None:
                self.found.tell(GARBAGE, f"{txn} read {text(part)} of {key}, which nobody wrote:", txn)
                sound = False
            elif writer.outcome == DID_NOT_HAPPEN:
                words = f"{txn} read {text(part)} of {key}, and {writer} did not happen:"
                self.found.tell(G1A, words, txn, writer)
                sound = False
            self.writers.seen.add((key, part))
        return sound

    def is_intermediate(self, read: Read, part: Any, writer: Transaction) -> bool:
        """Whose last sight is not the last that its writer wrote has read half of that one: it is told, and says
        nothing more."""
        last = self.writers.written(writer, read.key)[-1]
        if writer is read.txn or last == part:
            return False
        words = f"{read.txn} read {text(part)} of {read.key}, and {writer} then wrote {text(last)} to it:"
        self.found.tell(G1B, words, read.txn, writer)
        return True

    # -- lost updates

    def tell_lost_updates(self) -> None:
        """Several transactions that read the same version of a key and wrote it: all but one of them are lost."""
        versions: dict[tuple[Hashable, Any], list[Transaction]] = {}
        for txn, key, value in self.reads:
            if self.writers.written(txn, key):
                versions.setdefault((key, value), []).append(txn)
        for (key, value), replacing in versions.items():
            if len(replacing) > 1:
                all_of = " and ".join(map(str, replacing))
                self.found.tell(LOST_UPDATE, f"{all_of} read {text(value)} of {key} and wrote it:", *replacing)
