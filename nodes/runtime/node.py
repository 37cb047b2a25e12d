"""A node process: journal, transport, founding, driver, clients and the clock, wired together.

It starts from what its journal holds: incarnation, founding, the number of its last life, and every group's records.
Until the cluster is founded it answers clients with *unavailable*.

*Invariants*: the boot number is durable before an id is minted. A failed write or sync ends the process at once,
without another write; so does an exception that nobody foresaw (a half-done turn must not go on).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import uvloop

from nodes.core.engine import Store
from nodes.core.founding import Boot, Founder, Founding, Incarnation, Open, Opened
from nodes.core.membership import Members, Roster, facts_of
from nodes.core.replicated_log import TICK_MS
from nodes.errors import Corrupt, Unavailable
from nodes.runtime import status
from nodes.runtime.activity import LOST, REACHED
from nodes.runtime.clients import Clients
from nodes.runtime.compaction import read_records
from nodes.runtime.config import Config, ConfigError
from nodes.runtime.driver import Driver
from nodes.runtime.known_nodes import KnownNodes
from nodes.runtime.load import Load
from nodes.runtime.messages import NODE_CODE, Boundaries, Boundary, clients, encode_record, peers
from nodes.runtime.router import place
from nodes.runtime.survey import Survey
from nodes.runtime.ticker import Ticker
from nodes.runtime.transport import Transport
from nodes.runtime.world import RealWorld
from nodes.storage.journal import Journal
from nodes.storage.sqlite import SqliteEngine
from nodes.storage.sqlite_decisions import SqliteDecisions
from nodes.storage.stores import SqliteStores

HAND_OVER_S = 1.0
MUST_NOT_RUN = 3  # the exit status of a node that has no part in its cluster any more
REMOVED = "was removed from its cluster: it ends, and its data is of no more use"
TICKS_A_SECOND = 1000 // TICK_MS
DISK_TICKS = 20
LOW_DISK_BYTES = 512 << 20

log = logging.getLogger("txstore.node")


class Node:
    """`run` returns the exit status of the process."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.number = config.node
        self.driver: Driver | None = None
        self._loop = asyncio.get_running_loop()
        self._world = RealWorld(self._loop)
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._records: dict[int, list[Any]] = {}
        self._known = KnownNodes(config.nodes, self.later, lambda: self._founder.founding)
        self.addresses = self._known.addresses
        self._saving: list[tuple[int, Callable[[], None]]] = []
        self._ticks = 0
        self._journal = Journal(
            config.data,
            on_durable=self._synced,
            on_failure=self._journal_failed,
            segment_bytes=config.constants.segment_bytes,
        )
        self._stores = SqliteStores(config.data / "engines", open_store)
        self._survey = Survey(self, lambda: self.driver)
        self._clients = Clients(lambda: self.driver.gateway if self.driver else None, self._survey, Load())

    # -- start

    async def run(self) -> int:
        self._loop.set_exception_handler(self._unforeseen)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop)
        own = self._replay()
        self._founder = self._make_founder(own)
        started: asyncio.Future[None] = self._loop.create_future()
        self._saving.append((self._durable_start, lambda: started.set_result(None)))
        await started  # incarnation and boot are durable before anybody hears of them
        self._transport = self._make_transport()
        self._transport.on_removed = self._removed
        await self._transport.start()
        log.info("n%d listens on %s:%d", self.config.node, *self.config.listen)
        if self.number not in self.config.nodes and not self._founder.is_open:
            log.info("n%d is no founder: it asks to be let in, until an operator adds it", self.number)
        if self._founder.is_open and self._founder.founding is not None:
            self._open(self._founder.founding)
        _collect_garbage_from_now_on()
        Ticker(self._loop, self._tick, lambda: self._journal.ticket).start()
        code = await self._ended
        await self._transport.stop()
        return code

    def _replay(self) -> dict[type, Any]:
        """Fills `_records`; returns the newest node record of each type, this life's boot among them, durable."""
        self._records = read_records(self._journal.replay())
        own: dict[type, Any] = {type(record): record for record in self._records.pop(NODE_CODE, [])}
        new: list[Any] = []
        if Incarnation not in own:
            new.append(Incarnation(secrets.token_bytes(16)))
        new.append(Boot(own[Boot].number + 1 if Boot in own else 1))
        own.update({type(record): record for record in new})
        for record in new:
            self._journal.append([encode_record((NODE_CODE, record))])
        self._durable_start = self._journal.submit()
        return own

    def _make_founder(self, own: dict[type, Any]) -> Founder:
        founding: Founding | None = own.get(Founding)
        if founding is not None:
            self._refuse_other_shape(founding)
        self._boot: int = own[Boot].number
        self._incarnation: bytes = own[Incarnation].incarnation
        self._boundaries: list[Boundary] = own[Boundaries].known if Boundaries in own else []
        return Founder(
            self.config.node,
            tuple(sorted(self.config.nodes)),
            self._incarnation,
            founding,
            Opened in own,
            self._draw,
            lambda node, message: self._send(node, [(NODE_CODE, message)]),
            self._save,
            self._open,
            self._refused,
            lambda: self._known.roster,
            self.config.advertise,
            tuple(self.config.joined),
        )

    def _refuse_other_shape(self, founding: Founding) -> None:
        has = (len(founding.incarnations), founding.shards, founding.replicas)
        wanted = (len(self.config.nodes), self.config.shards, self.config.replicas)
        if has != wanted:
            raise ConfigError(f"the data has (nodes, shards, replicas) = {has}, the configuration {wanted}")

    def _draw(self, incarnations: dict[int, bytes]) -> Founding:
        return Founding(secrets.token_bytes(16), incarnations, self.config.shards, self.config.replicas)

    def _make_transport(self) -> Transport:
        return Transport(
            node=self.config.node,
            addresses=self.config.nodes | self.config.joined,
            listen=self.config.listen,
            secret=self.config.secret,
            cluster_id=lambda: self._founder.founding.cluster_id if self._founder.founding else b"",
            incarnation=self._incarnation,
            decode=peers.decode,
            decode_client=clients.decode,
            on_peer_message=self._on_peer_message,
            on_peer_up=self._on_peer_up,
            on_peer_lost=self._on_peer_lost,
            on_client_message=self._clients.receive,
            on_client_lost=lambda connection: None,
            log=log,
        )

    def _open(self, founding: Founding) -> None:
        """The cluster is founded: take part."""
        journal, records = self._journal, self._records
        self._records = {}
        self.driver = Driver(
            self.config.node,
            founding,
            self._boot,
            records,
            self._stores,
            self._world,
            journal,
            self,
            log,
            constants=self.config.constants,
            own_records=self._own_records(founding),
            boundaries=self._boundaries,
        )
        log.info("n%d takes part in cluster %s (life %d)", self.config.node, founding.cluster_id.hex(), self._boot)

    def _own_records(self, founding: Founding) -> list[bytes]:
        """What the journal must go on saying of this node, whatever else it lets go of."""
        own = (Incarnation(self._incarnation), Boot(self._boot), founding, Opened())
        return [encode_record((NODE_CODE, record)) for record in own]

    # -- Network of the driver

    def send(self, peer: int, items: list[tuple[int, Any]]) -> None:
        self._send(peer, items)

    def flush(self) -> None:
        self._transport.flush()

    def _send(self, peer: int, items: list[tuple[int, Any]]) -> None:
        if self._transport.is_connected(peer):
            self._transport.send(peer, peers.encode(items))

    # -- what happens

    def on_roster(self, roster: Roster) -> None:
        """Nodes have joined, or are gone; this one perhaps."""
        self._known.follow(roster, self._transport)
        if self.number in roster.gone:
            self._removed()

    def _removed(self) -> None:
        _removed_file(self.config).touch()
        log.critical("n%d %s", self.number, REMOVED)
        self._loop.call_later(TICK_MS / 1000, self._end, MUST_NOT_RUN)

    def members(self) -> dict[str, Members]:
        """Of every group, as far as this node knows."""
        if self.driver is not None:
            return self.driver.placement.all_members()
        founded = place(len(self.config.nodes), self.config.shards, self.config.replicas)
        return {name: Members(nodes) for name, nodes in founded.items()}

    def _waiting(self) -> list[tuple[int, str, str]]:
        """Nodes that ask to be let in."""
        asking = self._known.still_asking(self._founder.waiting, self._transport.is_heard)
        return [status.told_of(facts) for facts in asking.values()]

    def _on_peer_message(self, peer: int, items: list[tuple[int, Any]]) -> None:
        if items and items[0][0] == NODE_CODE:
            for _, message in items:
                self._on_node_message(peer, message)
        elif self.driver is not None:
            self.driver.receive(peer, self._known.heeded(peer, self._transport.incarnations.get(peer), items))

    def _on_node_message(self, peer: int, message: Any) -> None:
        is_informed = self.driver is not None and self.driver.placement.roster_slot > 0
        if isinstance(message, Open) and not is_informed and facts_of(message.roster, self.number) is not None:
            self.on_roster(message.roster)  # by who let it in; the members of s0 will tell more
        if not self._survey.receive(peer, message):
            self._founder.receive(peer, message)

    def _on_peer_up(self, peer: int) -> None:
        self._survey.on_peer_changed(peer)
        if self.driver is not None:
            self.driver.changes.note(REACHED, peer)

    def _on_peer_lost(self, peer: int) -> None:
        self._survey.on_peer_changed(peer)
        if self.driver is not None:
            self.driver.changes.note(LOST, peer)
            self.driver.on_peer_lost(peer)

    def _tick(self, place: int) -> None:
        self._ticks += 1
        self._founder.tick(self._ticks)
        if self.driver is not None and not self.driver.groups and self._ticks % TICKS_A_SECOND == 0:
            self._founder.ask()  # who else is there? The members of s0 are to be heard of from any of them
        self._survey.tick()
        if self.driver is not None and (self.driver.now or place == 1):  # its groups beat when those of others do
            if self._ticks % DISK_TICKS == 0:
                self.driver.on_disk(self._journal.free_bytes() < LOW_DISK_BYTES)
            self.driver.tick()

    def _save(self, record: Any, then: Callable[[], None]) -> None:
        self._journal.append([encode_record((NODE_CODE, record))])
        self._saving.append((self._journal.submit(), then))

    def _synced(self, ticket: int) -> None:
        """From the journal's thread."""
        with suppress(RuntimeError):  # The loop is closed: nobody waits for it any more.
            self._loop.call_soon_threadsafe(self._on_durable, ticket)

    def _on_durable(self, ticket: int) -> None:
        saved = [then for needed, then in self._saving if needed <= ticket]
        self._saving = [(needed, then) for needed, then in self._saving if needed > ticket]
        for then in saved:
            then()
        if self.driver is not None:
            self.driver.on_durable(ticket)

    # -- Around of the survey

    def tell(self, peer: int, message: Any) -> None:
        self._send(peer, [(NODE_CODE, message)])

    def is_connected(self, peer: int) -> bool:
        return self._transport.is_connected(peer)

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.call_later(seconds, then)

    def clock_ms(self) -> int:
        return self._world.clock_ms()

    def own_status(self, wide: bool) -> dict[str, Any]:
        own = status.of_node(self.driver, wide) if self.driver else status.of_nothing()
        founding = self._founder.founding
        return own | {
            "node": self.config.node,
            "cluster_id": founding.cluster_id.hex() if founding else "",
            "boot": self._boot,
            "ready": self.driver is not None and self.driver.is_ready,
            "waiting": self._waiting(),
            "leaving": [list(pair) for pair in self._known.roster.leaving.items()],
            "gone": list(self._known.roster.gone),
            "clock_ms": self._world.clock_ms(),
            "journal": status.of_journal(self._journal, self.driver.compaction.released if self.driver else 0),
        }

    # -- the end

    def _stop(self) -> None:
        """SIGTERM: hand the leaderships over, then end."""
        log.info("n%d stops", self.config.node)
        if self.driver is not None and len(self.addresses) > 1:
            self.driver.hand_over()
            self._loop.call_later(HAND_OVER_S, self._end, 0)
            self._watch_hand_over()
        else:
            self._end(0)

    def _watch_hand_over(self) -> None:
        if self.driver is not None and not any(group.served_epoch for group in self.driver.groups.values()):
            self._loop.call_later(TICK_MS / 1000, self._end, 0)
        else:
            self._loop.call_later(TICK_MS / 1000, self._watch_hand_over)

    def _end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    def _refused(self, words: str) -> None:
        log.critical("n%d must not take part: %s", self.config.node, words)
        self._end(MUST_NOT_RUN)

    def _unforeseen(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log.critical("n%d ends: %s", self.config.node, context.get("message"), exc_info=context.get("exception"))
        os._exit(70)

    def _journal_failed(self, error: BaseException) -> None:
        """From the journal's thread: nothing may be written, promised or answered any more."""
        log.critical("n%d ends: the journal failed: %s", self.config.node, error)
        os._exit(74)

    def close(self) -> None:
        """Let go of the files; when the loop is closed, for until then it may call any part of the node."""
        self._journal.close()
        self._world.close()
        self._stores.close()


def open_store(group: str, path: Path) -> Store:
    """The kind of store that a group has."""
    return SqliteDecisions(path) if group[0] == "c" else SqliteEngine(path)


def _collect_garbage_from_now_on() -> None:
    """What the start made is kept for long, and so are most small objects, those of the log: scanning them in every
    young collection only costs time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


def _removed_file(config: Config) -> Path:
    """It lies there when the node was removed from its cluster."""
    return config.data / "removed"


def serve(config: Config) -> int:
    """Run a node until SIGTERM or a failure; the exit status."""
    if _removed_file(config).exists():
        log.critical("n%d %s", config.node, REMOVED)
        return MUST_NOT_RUN
    gc.disable()  # what a start makes is kept
    try:
        with ExitStack() as behind, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

            async def run() -> int:
                node = Node(config)
                behind.callback(node.close)
                return await node.run()

            return runner.run(run())
    except ConfigError as error:
        log.critical("n%d cannot start: %s", config.node, error)
        return 2
    except (Corrupt, Unavailable, OSError) as error:
        log.critical("n%d cannot start: %s", config.node, error)
        return 74
