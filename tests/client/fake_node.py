"""A node on a real socket that does what a test scripts: answers, dies before or after `Named`, falls silent.

Each `Call` takes the next step of `script` (the last one stays); `AskFate` is answered by `fate`, `AskStatus` always.
A step is a function of the talk (one connection) and the call. Each `Begin` takes the next step of `begin`, each
`Within` of `within`, in the same way. `greet` takes the place of the handshake.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from nodes import ids
from nodes.errors import StoreError
from nodes.requests import COMMITTED, Begun, Column, Fate, Reply, Result, Table, Trace, Transactions
from nodes.wire.codec import Codec
from nodes.wire.frames import FORMAT, MAX_CLIENT_BYTES, MAX_HANDSHAKE_BYTES, Splitter, encode_frame
from nodes.wire.handshake import NODE, NONCE_BYTES, Handshake, Hello, encode_refusal
from nodes.wire.protocol import (
    COMMIT,
    RUN,
    AskFate,
    AskStatus,
    AskTables,
    AskTrace,
    AskTransactions,
    Begin,
    Call,
    Done,
    Failed,
    FateIs,
    FromClient,
    Named,
    Opened,
    Ran,
    StatusIs,
    TablesAre,
    TraceIs,
    TransactionsAre,
    Within,
)

SECRET = b"the secret of this test"


def txn_id(counter: int, node: int = 1) -> str:
    """The id of the attempt with this counter."""
    return ids.to_text(ids.mint(1 << 20, node, 1, counter, "c1", b"abc"))


class Talk:
    """One connection, from the node's side."""

    def __init__(self, node: FakeNode, connection: socket.socket) -> None:
        self.node = node
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, message: Any) -> None:
        self._socket.sendall(encode_frame(self.node.codec.encode(message)))

    def send_bytes(self, body: bytes) -> None:
        self._socket.sendall(encode_frame(body))

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        """As a process that is killed: what was written before is still delivered."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """As a process that is killed with bytes unread: the client may lose what was written before."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def send_half(self, message: Any) -> None:
        """The beginning of a frame."""
        frame = encode_frame(self.node.codec.encode(message))
        self._socket.sendall(frame[: len(frame) // 2])

    def serve(self) -> None:
        try:
            with self._socket:
                if self.node.greet is not None:
                    self.node.greet(self)
                self._listen(self._shake_hands())
        except OSError:
            return
        finally:
            self.node.ended.append(self)

    def _shake_hands(self) -> Splitter:
        mine = Hello(FORMAT, NODE, self.node.number, b"", b"i", os.urandom(NONCE_BYTES))
        handshake, splitter = Handshake(self.node.secret, mine, False), Splitter(MAX_HANDSHAKE_BYTES)
        while not handshake.is_done:
            for body in splitter.feed(self.read()):
                try:
                    answers = handshake.receive(body)
                except StoreError as error:
                    self.send_bytes(encode_refusal(str(error)))
                    raise ConnectionError from error
                for answer in answers:
                    self.send_bytes(answer)
        splitter.limit = MAX_CLIENT_BYTES
        return splitter

    def _listen(self, splitter: Splitter) -> None:
        while True:
            for body in splitter.feed(self.read()):
                self.node.on_message(self, self.node.codec.decode(body))

    def read(self) -> bytes:
        data = self._socket.recv(65_536)
        self.node.running.wait()
        if not data:
            raise ConnectionError
        return data


Step = Callable[[Talk, Any], None]


class FakeNode:
    """Listens until `kill`; `received` holds every message in order of arrival."""

    def __init__(
        self,
        number: int,
        *script: Step,
        fate: Any = None,
        secret: bytes = SECRET,
        greet: Callable[[Talk], None] | None = None,
    ) -> None:
        self.number = number
        self.secret = secret
        self.script = list(script) or [answered]
        self.begin: list[Step] = [opened]
        self.within: list[Step] = [ran]
        self.fate: Any = fate or committed_fate
        self.greet = greet
        self.gateway = 0
        self.tables: list[str] = []
        self.received: list[Any] = []
        self.ended: list[Talk] = []
        self.on_status: Callable[[], object] = lambda: None
        self.codec: Codec[FromClient] = Codec(FromClient)
        self.running = threading.Event()
        self.running.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def calls(self) -> list[Call]:
        return [message for message in self.received if isinstance(message, Call)]

    @property
    def asked(self) -> list[Within]:
        return [message for message in self.received if isinstance(message, Within)]

    @property
    def questions(self) -> list[AskFate]:
        return [message for message in self.received if isinstance(message, AskFate)]

    @property
    def connections(self) -> int:
        """All that were ever made."""
        return len(self._sockets)

    @property
    def open_connections(self) -> int:
        """Those that the client has not ended."""
        return len(self._sockets) - len(self.ended)

    def until(self, condition: Callable[[FakeNode], bool]) -> None:
        """Waits until it holds."""
        deadline = time.monotonic() + 30
        while not condition(self):
            assert time.monotonic() < deadline, "it did not come to that"
            threading.Event().wait(0.002)

    def on_message(self, talk: Talk, message: Any) -> None:
        self.received.append(message)
        if isinstance(message, Call):
            _next(self.script)(talk, message)
        elif isinstance(message, Begin):
            _next(self.begin)(talk, message)
        elif isinstance(message, Within):
            _next(self.within)(talk, message)
        elif isinstance(message, AskFate):
            self._answer_fate(talk, message)
        elif isinstance(message, AskStatus):
            self.on_status()
            talk.send(StatusIs(message.number, {"node": self.number, "wide": message.wide}))
        elif isinstance(message, AskTransactions):
            page = Transactions([], f"{message.filter} {message.limit} {message.after}", {self.number: 5})
            talk.send(TransactionsAre(message.number, page))
        elif isinstance(message, AskTrace):
            talk.send(TraceIs(message.number, Trace(message.id, None, None, [], {self.number: 5})))
        elif isinstance(message, AskTables):
            talk.send(TablesAre(message.number, self._page(message)))

    def drop_connections(self) -> None:
        """Close all connections with a reset, and go on listening: as after a fast restart."""
        for connection in self._sockets:
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def kill(self) -> None:
        self.running.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()

    def _answer_fate(self, talk: Talk, question: AskFate) -> None:
        fate = self.fate(question)
        if isinstance(fate, StoreError):
            talk.send(Failed(question.number, fate.info))
        elif fate is not None:
            talk.send(FateIs(question.number, fate))

    def _page(self, asked: AskTables) -> list[Table]:
        """What a node would answer, whose tables are called `tables`."""
        names = [name for name in sorted(self.tables) if (name == asked.name if asked.name else name > asked.after)]
        return [Table(name, 1, [], [], []) for name in names[: asked.most]]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            threading.Thread(target=Talk(self, connection).serve, daemon=True).start()


def _next(script: list[Step]) -> Step:
    return script.pop(0) if len(script) > 1 else script[0]


def hangs(talk: Talk) -> None:
    """A greeting that never comes: until the node is killed or the client goes."""
    while talk.read():
        continue


def half_a_hello(talk: Talk) -> None:
    talk.send_raw(b"\0\0\0\x40\x97\x01")
    hangs(talk)


def closes(talk: Talk) -> None:
    talk.close()


def trickles(talk: Talk) -> None:
    """Bytes of a Hello that takes longer than anybody waits."""
    talk.send_raw(b"\0\0\x03\xff")
    for _ in range(1_000):
        talk.send_raw(b"\x97")
        threading.Event().wait(0.05)


def named(talk: Talk, call: Call) -> str:
    """Tell the id of the attempt: its counter is the call's number."""
    txn = txn_id(call.number)
    talk.send(Named(call.number, txn))
    return txn


def answered(talk: Talk, call: Call) -> None:
    """Named, then done: one row with the node's number and the first parameter, if there is one."""
    txn = named(talk, call)
    params = call.request.statements[0].params
    row = [talk.node.number, params[0] if isinstance(params, list) and params else None]
    result = Result([Column("node", "INT"), Column("param", "INT")], [row], 1)
    reply = Reply(txn, COMMITTED, 77, 1, ["s1"], [result] * len(call.request.statements))
    talk.send(Done(call.number, reply, talk.node.gateway))


def opened(talk: Talk, begin: Begin) -> None:
    talk.send(Opened(begin.number, Begun(txn_id(begin.number, talk.node.number), 30_000, 300_000)))


def ran(talk: Talk, within: Within) -> None:
    """Of each statement one row with the node's number and the first parameter, if there is one."""
    if within.verb == COMMIT:
        talk.send(Done(within.number, Reply(within.id, COMMITTED, 77, 1, ["s1"], [])))
        return
    rows = [[talk.node.number, *list(each.params)[:1]] for each in within.statements] if within.verb == RUN else []
    talk.send(Ran(within.number, [Result([Column("node", "INT"), Column("param", "INT")], [row], 1) for row in rows]))


def refused(error: StoreError) -> Step:
    def step(talk: Talk, asked: Any) -> None:
        talk.send(Failed(asked.number, error.info))

    return step


def failed(error: StoreError) -> Step:
    def step(talk: Talk, call: Call) -> None:
        named(talk, call)
        talk.send(Failed(call.number, error.info))

    return step


def lost_before_named(talk: Talk, call: Call) -> None:
    talk.close()


def reset_before_named(talk: Talk, call: Call) -> None:
    talk.reset()


def lost_within_named(talk: Talk, call: Call) -> None:
    talk.send_half(Named(call.number, txn_id(call.number)))
    talk.close()


def garbage_before_named(talk: Talk, call: Call) -> None:
    talk.send_bytes(b"\xc1")


def lost_after_named(talk: Talk, call: Call) -> None:
    named(talk, call)
    talk.close()


def silent(talk: Talk, call: Call) -> None:
    """Neither an answer nor an end."""


def stopped(talk: Talk, call: Call) -> None:
    """As a process that is stopped: it reads nothing more, on any connection."""
    talk.node.running.clear()


def silent_after_named(talk: Talk, call: Call) -> None:
    named(talk, call)


def half_done(talk: Talk, call: Call) -> None:
    txn = named(talk, call)
    talk.send_half(Done(call.number, Reply(txn, COMMITTED, 77, 1, ["s1"], [Result()])))


def strays(talk: Talk, call: Call) -> None:
    """Answers to questions that nobody asked, without an end."""
    for number in range(100_000, 200_000):
        talk.send(StatusIs(number, {}))
        threading.Event().wait(0.01)


def committed_fate(question: AskFate) -> Fate:
    return Fate(question.id, COMMITTED, "happened", 99)


def aborted_fate(question: AskFate) -> Fate:
    return Fate(question.id, "aborted", "did_not_happen", 0, "fenced")
