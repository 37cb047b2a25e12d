"""The names of what must not be, and which isolation each of them rules out."""

from __future__ import annotations

from dataclasses import dataclass

from monitoring.selfcheck.checker.history import Transaction

G0, G1A, G1B, G1C = "G0", "G1a", "G1b", "G1c"
G_SINGLE, G_NONADJACENT, G2_ITEM, G2 = "G-single", "G-nonadjacent", "G2-item", "G2"
INTERNAL, DUPLICATE, INCOMPATIBLE = "internal", "duplicate-elements", "incompatible-order"
GARBAGE, LOST_UPDATE = "garbage-read", "lost-update"
BROKEN_INVARIANT = "broken-invariant"  # no business of the checker: a workload finds it
OF_PROCESS, OF_REALTIME = "-process", "-realtime"

MEANINGS = {
    G0: "transactions overwrote each other in turn",
    G1A: "somebody read what did not happen",
    G1B: "somebody read what its writer overwrote in the same transaction",
    G1C: "information flowed in a circle",
    G_SINGLE: "one read is older than what the same transaction saw or came behind",
    G_NONADJACENT: "several reads are older than what others of the cycle saw, as in a long fork",
    G2_ITEM: "transactions did not see each other's writes, as in write skew",
    G2: "transactions did not see each other's rows when they looked for them by a predicate",
    INTERNAL: "a transaction did not read what it had itself written or read",
    DUPLICATE: "a list has an element twice",
    INCOMPATIBLE: "a list was read in two orders",
    GARBAGE: "somebody read what nobody wrote",
    BROKEN_INVARIANT: "what holds in every serial world did not",
    LOST_UPDATE: "several transactions read the same version and all replaced it",
}
RULES_OUT = {
    G0: "read uncommitted", DUPLICATE: "read uncommitted", INCOMPATIBLE: "read uncommitted",
    GARBAGE: "read uncommitted", INTERNAL: "read uncommitted", G1A: "read committed",
    G1B: "read committed", G1C: "read committed", LOST_UPDATE: "snapshot isolation",
    BROKEN_INVARIANT: "serializable", G_SINGLE: "snapshot isolation",
    G_NONADJACENT: "snapshot isolation", G2_ITEM: "repeatable read", G2: "serializable",
}  # fmt: skip


@dataclass(frozen=True)
class Anomaly:
    """`name`: one of MEANINGS, perhaps with OF_PROCESS or OF_REALTIME. `words`: what was seen, in lines.
    `transactions`: whom it is about; of a cycle in its order."""

    name: str
    words: str
    transactions: tuple[Transaction, ...]

    @property
    def kind(self) -> str:
        return self.name.removesuffix(OF_PROCESS).removesuffix(OF_REALTIME)

    @property
    def rules_out(self) -> str:
        """The weakest isolation that the history does not have."""
        if self.name.endswith(OF_REALTIME):
            return "strict serializable"
        if self.name.endswith(OF_PROCESS):
            return "strong session serializable"
        return RULES_OUT[self.kind]

    def __str__(self) -> str:
        return f"{self.name}: {MEANINGS[self.kind]}; so it is not {self.rules_out}.\n{self.words}"


def anomaly(name: str, words: str, *transactions: Transaction) -> Anomaly:
    """With what each of the transactions did below the words."""
    return Anomaly(name, "\n".join([words, *(f"  {txn.described()}" for txn in transactions)]), transactions)
