"""Interactive transactions: one thing asked after the other, at any node, by clients who read and then write what they
make of it, go back to savepoints, ask again when an answer is lost, and sometimes leave. (Who only reads: readers.py.)

What stood when it was committed is one operation of the history: its statements, in order, gave what its client was
told (history.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from nodes import ids
from nodes.errors import UNKNOWN, StoreError, Unavailable
from nodes.requests import ABORTED, ACTIVE, Begun, Fate, Reply, Result
from nodes.wire.protocol import BACK_TO, COMMIT, ROLLBACK, RUN, SAVE, Within
from tests.sim import phrases
from tests.sim.coverage import count
from tests.sim.faults import OWN_MARKERS
from tests.sim.operations import ACCOUNTS, START, Operation, Steps, statement
from tests.sim.timeline import MS, SECOND
from tests.sim.truth import demand

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

TIMEOUT_MS = 1_500
NAMES = ("a", "b")
VERBS = {RUN: "runs", COMMIT: "commits", ROLLBACK: "rolls back", SAVE: "saves", BACK_TO: "goes back to"}
NOT_OPEN, NOT_AVAILABLE = "25P01", "55P03"
MOST_CLAIMED = 3
OLD_MS = 12_000
FENCED = "8 progress of the fenced"
LOOKS = 100  # fifty milliseconds apart
FENCE_LOOKS = 10  # far below the idle time that would end it too
PAUSES = (0, 0, 2 * MS, 20 * MS, 300 * MS)


class SessionTraffic:
    """Each has a chance of its own, so that one more or less changes no other."""

    def __init__(self, simulation: Simulation, seed: str) -> None:
        self.simulation = simulation
        self.seed = seed
        self.begun = 0
        self.is_over = False  # in peace who is open comes to its end: others need the locks
        self.clients: list[Client] = []
        self._meddler = random.Random(f"{seed} fates of sessions")

    def plan(self, most: int, within: int) -> None:
        rng = random.Random(f"{self.seed} sessions")
        bursts = [rng.randint(0, within) for _ in range(2)]
        for _ in range(rng.randint(0, most)):
            when = rng.choice(bursts) + rng.randint(0, 50 * MS) if rng.random() < 0.7 else rng.randint(0, within)
            self.simulation.schedule.at(when, "interactive transaction", self._begin)
        for _ in range(self._meddler.randint(0, most // 2)):
            when = self._meddler.choice(bursts) + self._meddler.randint(0, 2 * SECOND)
            self.simulation.schedule.at(when, "fate of an interactive transaction", self._meddle)

    def _begin(self) -> None:
        self.clients.append(self._client())
        self.clients[-1].begin()

    def _client(self) -> Client:
        self.begun += 1
        return Client(self.simulation, random.Random(f"{self.seed} session {self.begun}"), self.begun)

    def _meddle(self) -> None:
        """Somebody asks for the fate of one, open or not, or fences it."""
        rng, known = self._meddler, [each.id for each in self.clients if each.id]
        if known:
            here = self.simulation.cluster.here()
            self.simulation.ask_fate(ids.from_text(rng.choice(known[-3:])), rng.random() < 0.2, rng.choice(here))

    def meddle_soon(self, txn: bytes) -> None:
        """Somebody asks for the fate of one while it is decided."""
        if self._meddler.random() < 0.6:
            node, delay = self._meddler.choice(self.simulation.cluster.here()), self._meddler.randint(1_000, 12_000)
            ask = partial(self.simulation.ask_fate, txn, False, node)
            self.simulation.cluster.timeline.at(delay, ask)

    def fence_one(self) -> None:
        """In peace: one that holds a lock is open, until it is fenced; then its locks are free, and it is told so."""
        client = self._client()
        client.script = [("add", [0, 1])]
        client.begin()
        self.until(lambda: len(client.steps) == 1, "an interactive transaction is not begun in peace")
        txn = ids.from_text(client.id)
        for fence, state in ((False, ACTIVE), (True, ABORTED)):
            told = self.simulation.ask_fate(txn, fence, self._meddler.choice(self.simulation.cluster.here()))
            self.until(lambda told=told: bool(told), "no fate is told in peace")  # type: ignore[misc]
            found = told[0].state if isinstance(told[0], Fate) else told[0]
            demand(
                found == state, FENCED, f"{txn.hex()} is open, or was fenced then, and is told {found!r}, not {state}"
            )
        drivers = self.simulation.cluster.drivers
        words = f"{txn.hex()} is open after its fence"
        self.until(lambda: not any(txn in each.gateway.interactive.open for each in drivers()), words, FENCE_LOOKS)

    def until(self, holds: Callable[[], bool], words: str, looks: int = LOOKS) -> None:
        for _ in range(looks):
            if holds():
                return
            self.simulation.cluster.run(50 * MS)
        demand(holds(), FENCED, words)


class Client:
    """One of them, from its beginning to what it was told of its end."""

    def __init__(self, simulation: Simulation, rng: random.Random, number: int) -> None:
        self.simulation, self.rng, self.number = simulation, rng, number
        self.id = ""
        self.begun_at = 0
        self.node = rng.choice(simulation.cluster.here())
        self.seq = self.answered = 0
        self.left = rng.randint(1, 5)  # things to do before the end
        # It comes to its end when the transaction is as old as one may be.
        self.is_slow = rng.random() < 0.05 and simulation.cluster.constants.interactive_lives_ms <= OLD_MS
        self.steps: Steps = []
        self.results: list[Result] = []
        self.saved: dict[str, int] = {}  # savepoint -> how many steps stand
        self.looked: dict[int, int] = {}
        self.hot = rng.sample(range(ACCOUNTS), 3)
        self.operation: Operation | None = None
        self.script: Steps = []  # these alone, and then it waits

    def begin(self) -> None:
        life = self.simulation.cluster.nodes[self.node].life
        if life is None or life.driver is None:
            return
        driver = life.driver

        def ask() -> None:
            driver.gateway.interactive.begin(b"", then)
            driver.wake()

        def then(begun: Begun | StoreError) -> None:
            if isinstance(begun, Begun):
                self.id, self.begun_at = begun.id, self.simulation.cluster.timeline.now
                self._pause()

        life.do(ask)

    # -- what comes next

    def _pause(self) -> None:
        if self.script:
            if not self.steps:
                self._ask(RUN, self.script)
            return
        pause = 4 * SECOND if self.rng.random() < 0.03 else self.rng.choice(PAUSES)
        if self.is_slow and not self.simulation.sessions.is_over:
            pause = self._slow_pause()
        self.simulation.cluster.timeline.at(pause, self._next)

    def _slow_pause(self) -> int:
        """A look every two seconds, and the end within a few milliseconds of the oldest age."""
        cluster = self.simulation.cluster
        left = self.begun_at + cluster.constants.interactive_lives_ms * MS - cluster.timeline.now
        if left < 3 * SECOND:
            self.left = 0
            return max(0, left + self.rng.randint(-60 * MS, 10 * MS))
        self.left = 2
        return 2 * SECOND

    def _next(self) -> None:
        rng = self.rng
        self.left = -1 if self.simulation.sessions.is_over else self.left - 1
        if self.left < 0:
            if rng.random() < 0.05:
                count("interactive transaction left alone")
            elif rng.random() < 0.1:
                self._ask(ROLLBACK)
            else:
                self._commit()
        elif rng.random() < 0.15:
            self._ask(SAVE, name=rng.choice(NAMES))
        elif self.saved and rng.random() < 0.2:
            self._ask(BACK_TO, name=rng.choice(list(self.saved)))
        else:
            self._ask(RUN, [self._step() for _ in range(rng.choice((1, 1, 2)))])

    def _step(self) -> tuple[str, list[Any]]:
        rng, account = self.rng, self.rng.choice(self.hot)
        known = [each for each in self.hot if each in self.looked]
        if known and rng.random() < 0.6:
            account = rng.choice(known)
            return "set", [account, max(0, self.looked.pop(account) + rng.randint(-3, 3))]
        kind = rng.random()
        if kind < 0.24:
            return "look", [account]
        if kind < 0.38:
            return rng.choice(("hold", "grab")), [account]
        if kind < 0.56:
            return "claim", [rng.randint(1, MOST_CLAIMED)]
        if kind < 0.58:
            return rng.choice(("pick", "share")), [START + rng.randint(-6, 3)]
        if kind < 0.6:
            return "sum", []
        if kind < 0.65:
            return "mark", [OWN_MARKERS * 3 + 1_000 * self.number + self.seq, 0, account, 1]
        return "add", [account, -1_000_000 if rng.random() < 0.1 else rng.choice((-2, -1, 1, 2))]

    def _commit(self) -> None:
        simulation = self.simulation
        if not self.steps:
            self._ask(ROLLBACK)
            return
        number, steps = len(simulation.operations), list(self.steps)
        operation = Operation(number, steps, self.node, locked=True, timeout_ms=TIMEOUT_MS)
        operation.after, operation.begun_at = simulation.largest_told, simulation.cluster.timeline.now
        operation.txns = [ids.from_text(self.id)]
        simulation.watch.of_txn[operation.txns[0]] = operation
        simulation.operations.append(operation)
        self.operation = operation
        simulation.sessions.meddle_soon(operation.txns[0])
        self._ask(COMMIT)

    # -- asked and answered

    def _ask(self, verb: int, steps: Steps | None = None, name: str = "") -> None:
        self.seq += 1
        statements = [statement(word, arguments) for word, arguments in steps or []]
        self._send(Within(0, self.id, verb, self.seq, statements, name, TIMEOUT_MS), steps or [], 3)

    def _send(self, message: Within, steps: Steps, tries: int) -> None:
        """At its node, or another one; again when no answer comes."""
        cluster = self.simulation.cluster
        node = self.node if self.rng.random() < 0.6 else self.rng.choice(cluster.here())
        life = cluster.nodes[node].life
        cluster.say(f"session {self.number} {VERBS[message.verb]} {steps or message.name}", node, ">")
        if life is not None and life.driver is not None:
            driver = life.driver

            def ask() -> None:
                driver.gateway.interactive.within(message, lambda end: self._told(node, message, steps, end))
                driver.wake()

            life.do(ask)
        if tries:
            cluster.timeline.at((TIMEOUT_MS + 200) * MS, lambda: self._missed(message, steps, tries))

    def _missed(self, message: Within, steps: Steps, tries: int) -> None:
        if self.answered < message.seq and self.rng.random() < 0.8:
            count("asked again in an interactive transaction")
            self._send(message, steps, tries - 1)

    def _told(self, node: int, message: Within, steps: Steps, end: Reply | list[Result] | StoreError) -> None:
        if self.answered >= message.seq:
            return
        if isinstance(end, Unavailable) and not end.info.detail.get("age"):
            count("node of an interactive transaction not reached")
            return  # as if nothing was heard: it is asked again, perhaps elsewhere
        self.answered = message.seq
        words = phrases.answer(end) if isinstance(end, StoreError) else "answered"
        self.simulation.cluster.say(f"session {self.number} is told {words}", node, "<")
        if message.verb == COMMIT:
            self._on_end(end)
        elif isinstance(end, StoreError):
            if message.verb != ROLLBACK:
                self._on_error(end)
        else:
            self._on_done(message, steps, end)

    def _on_done(self, message: Within, steps: Steps, end: Any) -> None:
        if message.verb == ROLLBACK:
            return
        if message.verb == RUN:
            self.steps += [_known(step, result) for step, result in zip(steps, end, strict=True)]
            self.results += end
            for (word, arguments), result in zip(steps, end, strict=True):
                if word in ("look", "hold", "grab") and result.rows:
                    self.looked[arguments[0]] = result.rows[0][0]
                elif word in ("claim", "pick"):
                    self.looked.update(result.rows)
                    self.hot += [account for account, _ in result.rows if account not in self.hot]
        elif message.verb == SAVE:
            self.saved.pop(message.name, None)
            self.saved[message.name] = len(self.steps)
        else:
            count("savepoint gone back to")
            self._undo(message.name)
        self._pause()

    def _undo(self, name: str) -> None:
        kept = self.saved[name]
        while next(reversed(self.saved)) != name:
            self.saved.popitem()
        del self.steps[kept:], self.results[kept:]
        self.looked.clear()

    def _on_error(self, error: StoreError) -> None:
        """A statement failed: back to a savepoint, if there is one. Or all of it is over."""
        if error.info.sqlstate == NOT_AVAILABLE:
            count("row that NOWAIT did not wait for")
        if error.info.sqlstate in ("23514", "02000", "23505", NOT_AVAILABLE) and self.saved and self.left > 0:
            count("statement failed in an interactive transaction")
            self._ask(BACK_TO, name=self.rng.choice(list(self.saved)))
        elif error.info.detail.get("age"):
            count("interactive transaction lost")
        else:
            self._ask(ROLLBACK)

    def _on_end(self, end: Any) -> None:
        operation, simulation = self.operation, self.simulation
        assert operation is not None, "who commits is an operation"
        operation.told_at = simulation.cluster.timeline.now
        if isinstance(end, StoreError) and end.info.sqlstate == NOT_OPEN and end.info.outcome == UNKNOWN:
            count("interactive transaction that nobody knows any more")
            return  # as if it had heard nothing
        if isinstance(end, Reply):
            count("interactive transaction committed")
            end = Reply(end.id, end.state, end.commit_ts, 1, end.shards, self.results, end.ts)
            simulation.largest_told = max(simulation.largest_told, end.commit_ts, end.ts)
        operation.told = end
        operation.newest = max(simulation.largest_told, simulation.truth.newest)


def _known(step: tuple[str, list[Any]], result: Result) -> tuple[str, list[Any]]:
    """A claim is judged by the rows that it gave."""
    word, _ = step
    return ("claimed", [account for account, _ in result.rows]) if word == "claim" else step
