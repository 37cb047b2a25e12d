"""Nodes and a clock in memory: the client's own code over a world where nothing takes real time.

A `VirtualNode` plays a plan: what it does at each step of each conversation, and when. The `World` keeps what became of
every attempt, also of those that a node begins after the client has given up. So a test can say exactly when a call
must be over, and compare what it was told with what happened.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nodes.client.surroundings import Address, Surroundings
from nodes.client.threads import BlockingTurn
from nodes.errors import Conflict, TransactionAborted, Unavailable
from nodes.requests import ABORTED, ACTIVE, COMMITTED, Fate, Reply, Result
from nodes.wire.codec import Codec
from nodes.wire.frames import FORMAT, MAX_CLIENT_BYTES, MAX_HANDSHAKE_BYTES, Splitter, encode_frame
from nodes.wire.handshake import NODE, NONCE_BYTES, Handshake, Hello
from nodes.wire.protocol import AskFate, AskStatus, Call, Done, Failed, FateIs, FromClient, Named, StatusIs, ToClient
from tests.client.fake_node import SECRET, txn_id

requests: Codec[FromClient] = Codec(FromClient)
answers: Codec[ToClient] = Codec(ToClient)

# What a node may do instead of dialling, of its part of the handshake, and of its answer to a call or a question.
DIALS = ("well", "refused", "hangs")
HANDSHAKES = ("well", "hangs", "closes", "half", "trickles", "garbage")
CALLS = (
    "well", "conflict", "later", "takes nothing", "silent", "silent, begins", "closes", "resets", "resets, begins",
    "half name", "half name, begins", "garbage, begins", "named, silent", "named, closes", "named, resets",
    "named, half", "named, trickles", "named, strays", "strays", "takes long",
)  # fmt: skip
FATES = ("well", "later", "silent", "closes", "resets", "half", "trickles", "strays", "garbage")


@dataclass
class Plan:
    """One conversation. `delay`: seconds before each thing that the node does; `commits`: what it begins."""

    dial: str = "well"
    handshake: str = "well"
    call: str = "well"
    fate: str = "well"
    delay: float = 0.0
    commits: bool = True


@dataclass
class World:
    """The clock, and what became of every attempt; of those under one key the first that commits is the only one."""

    now: float = 100.0
    states: dict[str, str] = field(default_factory=dict)
    bound: dict[str, str] = field(default_factory=dict)  # key -> the id that was committed under it
    counter: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)
    _coming: list[tuple[float, str, str]] = field(default_factory=list)  # (when it would commit, id, key)

    def begin(self, at: float, commits: bool, key: str = "") -> str:
        txn = txn_id(self.counter())
        self.states[txn] = ACTIVE if commits else ABORTED
        heapq.heappush(self._coming, (at, txn, key))
        return txn

    def fate(self, id: str, fence: bool) -> Fate:
        state = self.state(id)
        if fence and state == ACTIVE:
            state = self.states[id] = ABORTED
        outcome = {COMMITTED: "happened", ABORTED: "did_not_happen", ACTIVE: "unknown"}[state]
        return Fate(id, state, outcome, 7)

    def state(self, id: str) -> str:
        self._settle(self.now)
        return self.states.setdefault(id, ABORTED)

    def committed(self) -> list[str]:
        """In the end, when every node has done what it will do."""
        self._settle(math.inf)
        return [id for id, state in self.states.items() if state == COMMITTED]

    def _settle(self, until: float) -> None:
        while self._coming and self._coming[0][0] <= until:
            _, txn, key = heapq.heappop(self._coming)
            if self.states[txn] == ACTIVE:
                is_first = not key or self.bound.setdefault(key, txn) == txn
                self.states[txn] = COMMITTED if is_first else ABORTED


class VirtualSurroundings(Surroundings):
    """`plans[node]` are that node's conversations in their order; the last one repeats."""

    def __init__(self, world: World, plans: dict[int, list[Plan]]) -> None:
        self.world = world
        self.plans = plans
        self.opened: list[VirtualSocket] = []

    def now(self) -> float:
        return self.world.now

    def chance(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.world.now += seconds

    async def dial(self, address: Address, seconds: float) -> VirtualSocket:
        plans = self.plans[address[1]]
        plan = plans.pop(0) if len(plans) > 1 else plans[0]
        if plan.dial == "hangs" or plan.delay >= seconds:
            self.world.now += seconds
            raise TimeoutError("timed out")
        self.world.now += plan.delay
        if plan.dial == "refused":
            raise ConnectionRefusedError("refused")
        self.opened.append(VirtualSocket(self.world, plan))
        return self.opened[-1]

    def turn(self) -> BlockingTurn:
        raise AssertionError("one call at a time never waits for a connection")


# What the node writes: bytes, b"" for the end, None for a reset, or what it will know only when it writes.
Coming = bytes | None | Callable[[], bytes]


class VirtualSocket:
    """The client's end; what the node will write is kept with the time at which it comes."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.is_open = True
        self._world = world
        self._coming: list[tuple[float, int, Coming]] = []
        self._order = itertools.count()
        self._node = VirtualNode(self, world, plan)

    def write(self, after: float, data: Coming) -> None:
        heapq.heappush(self._coming, (self._world.now + after, next(self._order), data))

    async def send(self, data: bytes, seconds: float) -> None:
        if not self.is_open:
            raise ConnectionError("closed")
        if self._node.takes_nothing:
            self._world.now += max(0.0, seconds)
            raise TimeoutError("not taken")
        self._node.receive(data)

    async def receive(self, seconds: float, least: int = 1) -> bytes:
        assert self.is_open, "a closed connection is not read from"
        until, taken = self._world.now + max(0.0, seconds), b""
        while len(taken) < least:
            if not self._coming or self._coming[0][0] > until:
                self._world.now = until
                break
            at, order, data = heapq.heappop(self._coming)
            self._world.now = max(self._world.now, at)
            piece = data() if callable(data) else data
            if not piece and taken:  # the end, or a reset: behind what came before
                heapq.heappush(self._coming, (at, order, piece))
                break
            if piece is None:
                raise ConnectionResetError("reset")
            if not piece:
                return b""
            taken += piece
        if not taken:
            raise TimeoutError
        return taken

    def is_quiet(self) -> bool:
        return self.is_open and not any(at <= self._world.now for at, _, _ in self._coming)

    def close(self) -> None:
        self.is_open = False

    def abandon(self) -> None:
        self.is_open = False


class VirtualNode:
    """Plays its plan over one socket."""

    def __init__(self, socket: VirtualSocket, world: World, plan: Plan) -> None:
        self.takes_nothing = False
        self._socket, self._world, self._plan = socket, world, plan
        self._handshake = Handshake(SECRET, Hello(FORMAT, NODE, 1, b"", b"i", b"n" * NONCE_BYTES), False)
        self._splitter = Splitter(MAX_HANDSHAKE_BYTES)
        self._is_dead = False

    def receive(self, data: bytes) -> None:
        for body in self._splitter.feed(data):
            if self._is_dead:
                continue
            if self._handshake.is_done:
                self._on_message(requests.decode(body))
            else:
                self._on_handshake(body)

    def _on_handshake(self, body: bytes) -> None:
        for answer in self._handshake.receive(body):
            self._spoilt(self._plan.handshake, encode_frame(answer))
        self._splitter.limit = MAX_CLIENT_BYTES
        self.takes_nothing = self._handshake.is_done and self._plan.call == "takes nothing"

    def _on_message(self, message: FromClient) -> None:
        if isinstance(message, Call):
            self._on_call(message)
        elif isinstance(message, AskFate):
            if self._plan.fate == "later":
                self._say(Failed(message.number, Unavailable("no leader").info))
            else:
                self._spoilt(self._plan.fate, self._frame(FateIs(message.number, self._world.fate(message.id, True))))
        elif isinstance(message, AskStatus):
            self._say(StatusIs(message.number, {}))

    def _on_call(self, call: Call) -> None:
        plan, does = self._plan, self._plan.call
        if does in ("conflict", "later"):
            error = Conflict("wounded") if does == "conflict" else Unavailable("no quorum")
            self._say(Named(call.number, self._world.begin(0, False)))
            self._say(Failed(call.number, error.info))
            return
        takes = 3.0 if does == "takes long" else plan.delay
        begins = "begins" in does or "named" in does or does in ("well", "takes long")
        key = call.request.key
        txn = self._world.begin(self._world.now + takes, plan.commits, key) if begins else ""
        name = self._frame(Named(call.number, txn))
        if does.startswith("named") or does in ("well", "takes long"):
            self._socket.write(plan.delay, name)
        if does in ("well", "takes long"):
            self._socket.write(max(takes, plan.delay), lambda: self._frame(self._end(call, txn)))
        elif does.startswith("named, "):
            self._spoilt(does.removeprefix("named, "), self._frame(self._end(call, txn)))
        elif does.startswith("half name"):
            self._spoilt("half", name)
        else:
            self._spoilt(does.removesuffix(", begins"), b"")

    def _end(self, call: Call, txn: str) -> Done | Failed:
        """What the node says of its attempt now."""
        is_done = self._world.state(txn) == COMMITTED
        known = txn if is_done else self._world.bound.get(call.request.key, "")
        if known:
            results = [Result()] * len(call.request.statements)
            return Done(call.number, Reply(known, COMMITTED, 7, 1, ["s1"], results, repeated=not is_done))
        error = TransactionAborted("fenced") if self._plan.commits else Conflict("wounded", transaction=txn)
        return Failed(call.number, error.info)

    def _spoilt(self, how: str, frame: bytes) -> None:
        """Write the frame as it should be, or something else, and then nothing more."""
        delay = self._plan.delay
        if how == "well":
            self._socket.write(delay, frame)
            return
        self._is_dead = True
        if how in ("closes", "garbage", "half"):
            spoilt = {"closes": b"", "garbage": encode_frame(b"\xc1"), "half": frame[: len(frame) // 2]}[how]
            self._socket.write(delay, spoilt)
            self._socket.write(delay, b"")
        elif how == "resets":
            self._socket.write(delay, None)
        elif how == "trickles":
            for place in range(len(frame) - 1):  # whole only after a time that nobody waits for
                self._socket.write(delay + place * 0.3, frame[place : place + 1])
        elif how == "strays":
            for place in range(2_000):
                self._socket.write(delay + place * 0.01, self._frame(StatusIs(999_999, {})))

    def _say(self, message: Any) -> None:
        self._socket.write(self._plan.delay, self._frame(message))

    def _frame(self, message: Any) -> bytes:
        return encode_frame(answers.encode(message))
