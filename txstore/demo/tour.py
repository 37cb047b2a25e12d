"""The demo from beginning to end: bank, traffic, a killed node, proof.

*Left out*: what is asked of the user and the exit status (`management/commands/demo.py`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from nodes.client import Cluster
from nodes.errors import UNKNOWN, StoreError
from txstore.demo import bank, proof, victim
from txstore.demo.gauge import Gauge
from txstore.demo.screen import Screen
from txstore.demo.traffic import Told, Traffic, settle
from txstore.home import Home

KILL_AT, KILL_BY = 0.4, 0.7  # of the time: when a node is killed, and until when it is tried
TURN_S, LOOK_S = 0.125, 0.5
SETTLE_S, PROOF_S = 30.0, 60.0


@dataclass(frozen=True)
class Wishes:
    accounts: int
    seconds: float
    clients: int
    kills: bool


class Watch:
    """Looks at the nodes in a thread of its own, and keeps what it saw last; None before the first answer."""

    def __init__(self, cluster: Cluster) -> None:
        self.status: dict[str, Any] | None = None
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def lines(self) -> list[str]:
        if self.status is None:
            return []
        leaders = [group["leader"] for group in self.status["groups"]]
        lines = []
        for node in self.status["nodes"]:
            state = f"[green]up[/], leads {leaders.count(node['node'])}" if node["up"] else "[red]down[/]"
            lines.append(f"{node['name']} {state}")
        return ["   ".join(lines)]

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                self.status = self._cluster.status(timeout=2.0)
            except StoreError:
                continue


class Tour:
    """One run on one home."""

    def __init__(self, home: Home, cluster: Cluster, screen: Screen, wishes: Wishes) -> None:
        self.home, self.cluster, self.screen, self.wishes = home, cluster, screen, wishes
        self.struck = 0.0
        self._killed: victim.Victim | None = None
        self._is_back = False

    def load(self) -> None:
        with self.screen.progress() as tell:
            bank.prepare(self.cluster, self.wishes.accounts, tell)

    def move(self) -> list[Told]:
        """The transfers; ends early at Ctrl-C. What the clients were told."""
        traffic, watch = Traffic(self.cluster, self.wishes.accounts, self.wishes.clients), Watch(self.cluster)
        gauge = Gauge(time.monotonic())
        traffic.start()
        try:
            with self.screen.live():
                self._run(traffic, watch, gauge)
        except KeyboardInterrupt:
            self.screen.say("Stopped early. What was done until now is proved; Ctrl-C again ends at once.")
        finally:
            ended = time.monotonic()
            traffic.stop()
            watch.stop()
        if self._killed is not None:
            self.screen.say(str(gauge.dip(self.struck, ended)))
        return traffic.told

    def prove(self, told: list[Told]) -> bool:
        """Does it hold? Raises StoreError when the bank cannot be read."""
        self.screen.say("The proof, on one snapshot:")
        unknown = sum(each.outcome == UNKNOWN for each in told)
        settled = settle(self.cluster, told, SETTLE_S)
        last = max((each.transfer.number for each in told), default=0)
        books = self._read(last)
        claims = proof.judge(books, self.wishes.accounts, settled, unknown)
        self.screen.prove(claims)
        return all(claim.holds for claim in claims)

    def _run(self, traffic: Traffic, watch: Watch, gauge: Gauge) -> None:
        seen, kills = 0, self.wishes.kills
        while (now := time.monotonic()) < gauge.begun + self.wishes.seconds:
            fresh = traffic.told[seen:]
            seen += len(fresh)
            gauge.add(fresh)
            gauge.reach(now)
            if kills and now >= gauge.begun + self.wishes.seconds * KILL_AT:
                kills = not self._kill(now - gauge.begun)
            self._look_for_return(now - gauge.begun)
            self.screen.draw(gauge, watch.lines(), self.wishes.seconds)
            time.sleep(TURN_S)
        gauge.add(traffic.told[seen:])

    def _kill(self, at_s: float) -> bool:
        """False if it is to be tried again."""
        try:
            found = victim.find(self.home, self.cluster.status(timeout=2.0))
            self.struck = time.monotonic()
            found.kill()
        except (victim.NoVictim, StoreError) as error:
            if at_s < self.wishes.seconds * KILL_BY:
                return False
            self.screen.happened(at_s, f"no node was killed: {error}")
            return True
        self._killed, self.screen.struck_s = found, at_s
        self.screen.happened(at_s, f"kill -9 of n{found.node}, process {found.pid}, which led {found.led} groups")
        return True

    def _look_for_return(self, at_s: float) -> None:
        if self._killed is None or self._is_back:
            return
        pid = victim.pid_of(self.home, self._killed.node)
        if pid not in (0, self._killed.pid):
            self._is_back = True
            self.screen.happened(at_s, f"`up` has started n{self._killed.node} again, as process {pid}")

    def _read(self, last: int) -> proof.Books:
        """The last groups may still be without a leader."""
        deadline = time.monotonic() + PROOF_S
        while True:
            try:
                return proof.read(self.cluster, self.wishes.accounts, last)
            except StoreError as error:
                if not error.info.retryable or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
