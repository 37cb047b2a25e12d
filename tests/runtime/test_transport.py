"""The transport: who is connected, and what arrives, in which order, in which write."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from nodes.runtime.transport import Connection, Limits
from nodes.wire.frames import encode_frame
from nodes.wire.handshake import CLIENT, NODE
from tests.runtime.scene import (
    Node,
    Scene,
    enter,
    free_ports,
    messages,
    requests,
    running,
)


def test_messages_arrive_in_order_and_a_turn_of_the_loop_is_one_write(play: Scene) -> None:
    async def scene() -> None:
        async with running(3) as (n1, n2, n3):
            for number in range(500):
                n1.transport.send(2, messages.encode([number]))
                n1.transport.send(3, messages.encode([-number]))
                if number % 50 == 0:
                    n1.transport.flush()
            n1.transport.flush()
            n3.transport.send(2, messages.encode([b"x" * (8 << 20)]))
            await n2.until(lambda: len(n2.received) == 501)
            await n3.until(lambda: len(n3.received) == 500)
            assert n2.of_bodies(1) == list(range(500))
            assert n3.of_bodies(1) == [-number for number in range(500)]
            assert n2.of_bodies(3) == [b"x" * (8 << 20)]
            assert n1.received == []

    play(scene)


def test_all_that_is_queued_leaves_in_one_write_and_clients_come_first(
    play: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, list[bytes]]] = []
    flush = Connection.flush

    def recorded(connection: Connection) -> None:
        assert connection.peer is not None
        flushed.append((connection.peer.role, list(connection._output)))
        flush(connection)

    async def scene() -> None:
        async with running(2) as (n1, n2):
            await enter(n1)
            writer = await enter(n1)
            writer.write(encode_frame(requests.encode("hello")))
            await n1.until(lambda: len(n1.asked) == 1)
            with monkeypatch.context() as patch:
                patch.setattr(Connection, "flush", recorded)
                n1.transport.send(2, messages.encode([1]))
                n1.asked[0][0].send(b"named")
                n1.transport.send(2, messages.encode([2]))
                await n2.until(lambda: len(n2.received) == 2)
            writer.close()

    play(scene)
    assert [(role, output[1::2]) for role, output in flushed] == [
        (CLIENT, [b"named"]),
        (NODE, [messages.encode([1]), messages.encode([2])]),
    ]


def test_a_message_to_a_peer_that_is_not_connected_is_dropped(play: Scene) -> None:
    async def scene() -> None:
        ports = free_ports(2)
        n1 = Node(1, ports, {})
        await n1.transport.start()
        n1.transport.send(2, messages.encode([1]))
        n2 = Node(2, ports, {})
        await n2.transport.start()
        await n1.until(lambda: n1.up == [2])
        n1.transport.send(2, messages.encode([2]))
        await n2.until(lambda: bool(n2.received))
        assert n2.received == [(1, [2])]
        for node in (n1, n2):
            await node.transport.stop()

    play(scene)


def test_a_lost_peer_is_told_once_and_found_again_after_its_restart(play: Scene) -> None:
    async def scene() -> None:
        async with running(2) as (n1, n2):
            for round_number in (1, 2):
                await n2.transport.stop()
                await n1.until(lambda count=round_number: len(n1.lost) == count)  # type: ignore[misc]
                n2 = Node(2, n1.ports, {})
                await n2.transport.start()
                await n1.until(lambda count=round_number: len(n1.up) == 1 + count)  # type: ignore[misc]
                await n2.until(lambda node=n2: node.up == [1])  # type: ignore[misc]
                n1.transport.send(2, messages.encode([round_number]))
                await n2.until(lambda node=n2: bool(node.received))  # type: ignore[misc]
            assert (n1.lost, n1.up) == ([2, 2], [2, 2, 2])
            await n2.transport.stop()

    play(scene)


def test_a_newer_connection_of_a_peer_ends_the_older_one(play: Scene) -> None:
    async def scene() -> None:
        ports = free_ports(2)
        n1 = Node(1, ports, {})
        await n1.transport.start()
        older = await enter(n1, 2)
        older.write(encode_frame(messages.encode([1])))
        await n1.until(lambda: len(n1.received) == 1)
        newer = await enter(n1, 2)
        newer.write(encode_frame(messages.encode([2])))
        await n1.until(lambda: len(n1.received) == 2)
        assert n1.lost == [2]
        older.write(encode_frame(messages.encode([3])))
        newer.write(encode_frame(messages.encode([4])))
        await n1.until(lambda: len(n1.received) == 3)
        assert n1.of_bodies(2) == [1, 2, 4]
        newer.close()
        await n1.until(lambda: n1.lost == [2, 2])
        older.close()
        await n1.transport.stop()

    play(scene)


def test_a_client_that_does_not_read_is_dropped_and_holds_up_nobody(play: Scene) -> None:
    async def scene() -> None:
        async with running(2, limits=Limits(buffer_bytes=8 << 20)) as (n1, n2):
            writer = await enter(n1)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(encode_frame(requests.encode("much")))
            await n1.until(lambda: len(n1.asked) == 1)
            slow = n1.asked[0][0]
            for number in range(40):
                slow.send(bytes(1 << 20))
                n1.transport.send(2, messages.encode([number]))
                n1.transport.flush()
            await n1.until(lambda: n1.gone == [slow])
            await n2.until(lambda: n2.of_bodies(1) == list(range(40)))
            assert sum("wait to be read" in line for line in n1.lines) == 1
            writer.close()

    play(scene)


def test_closing_a_client_lets_out_what_was_sent_and_nothing_in(play: Scene) -> None:
    async def scene() -> None:
        async with running(1) as (n1,):
            writer = await enter(n1)
            writer.write(encode_frame(requests.encode("one")))
            await n1.until(lambda: len(n1.asked) == 1)
            connection = n1.asked[0][0]
            connection.send(b"farewell")
            connection.close()
            connection.send(b"too late")
            writer.write(encode_frame(requests.encode("two")))
            await n1.until(lambda: n1.gone == [connection])
            assert len(n1.asked) == 1
            writer.close()

    play(scene)


def test_founders_without_a_cluster_id_find_each_other(play: Scene) -> None:
    async def scene() -> None:
        async with running(3, cluster_id=lambda: b"") as nodes:
            assert all(sorted(node.up) == [n for n in (1, 2, 3) if n != node.number] for node in nodes)

    play(scene)


def test_an_error_of_a_handler_is_not_taken_for_the_senders() -> None:
    seen: list[BaseException] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["exception"]))
        async with running(1) as (n1,):
            n1.on_request = lambda *_: 1 / 0
            writer = await enter(n1)
            writer.write(encode_frame(requests.encode("hello")))
            await n1.until(lambda: len(n1.gone) == 1)
            assert not any("closed" in line for line in n1.lines)
            writer.close()

    for loop_factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(scene())
    assert [type(error) for error in seen] == [ZeroDivisionError] * 2


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_node_that_was_removed_is_told_so_whenever_it_dials(play: Scene, is_connected: bool) -> None:
    async def scene() -> None:
        told: list[str] = []
        async with running(3) as (n1, n2, n3):
            n2.transport.on_removed = lambda: n2._note(told, "removed")
            if not is_connected:
                n2.transport.know(1, ("127.0.0.1", 1))
                n1.transport.forget(2)
                await n2.until(lambda: bool(told))
                told.clear()
                n2.transport.know(1, ("127.0.0.1", n1.transport.port))
            else:
                n1.transport.forget(2)
            await n2.until(lambda: bool(told))
            n1.received.clear()
            n2.transport.send(1, messages.encode([7]))
            n3.transport.send(1, messages.encode([8]))
            await n1.until(lambda: bool(n1.received))
            assert n1.received == [(3, [8])]
            assert not n1.transport.is_connected(2)

    play(scene)
