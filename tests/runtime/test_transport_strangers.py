"""What strangers, impostors and broken peers send ends their connections and harms nothing else."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from nodes.errors import AuthenticationFailed
from nodes.wire.frames import MAX_CLIENT_BYTES, MAX_NODE_BYTES, encode_frame
from tests.runtime.scene import (
    IMPATIENT,
    SECRET,
    WAIT_S,
    Node,
    Scene,
    enter,
    free_ports,
    is_whole,
    messages,
    must_be_closed,
    requests,
    running,
    stranger,
)


@pytest.mark.parametrize(
    ("number", "changes", "reason"),
    [
        (2, {"secret": b"a guess"}, "secret was not proved"),
        (2, {"cluster": b"cluster 2"}, "another cluster"),
        (2, {"format": 9}, "format 9"),
        (1, {}, "n1 is this node"),
        (0, {"secret": b"a guess"}, "secret was not proved"),
    ],
)
def test_who_is_not_welcome_is_told_why_and_logged_once(
    play: Scene, number: int, changes: dict[str, Any], reason: str
) -> None:
    async def scene() -> None:
        async with running(2) as (n1, _):
            n1.lines.clear()
            with pytest.raises(AuthenticationFailed, match=reason):
                await enter(n1, number, **changes)
            await n1.until(lambda: bool(n1.lines))
            assert len(n1.lines) == 1
            assert reason in n1.lines[0]
            assert SECRET.decode() not in n1.lines[0]
            assert (n1.lost, n1.gone) == ([], [])
            await is_whole(n1)

    play(scene)


def test_a_node_under_anothers_address_is_not_spoken_to(play: Scene) -> None:
    async def scene() -> None:
        ports = free_ports(2)
        n2 = Node(2, ports, {})
        await n2.transport.start()
        misled = Node(1, {**free_ports(1), 3: ports[2]}, {})
        await misled.transport.start()
        await misled.until(lambda: any("n2 answers where n3 was dialled" in line for line in misled.lines))
        assert misled.up == []
        for node in (misled, n2):
            await node.transport.stop()

    play(scene)


GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n",
    b"\0\0\0\0",
    b"\xff" * 100,
    (MAX_NODE_BYTES).to_bytes(4, "big"),
    encode_frame(b"\xc1" * 20),
    encode_frame(b"\x91" * 1000),
    *(random.Random(seed).randbytes(300) for seed in range(20)),
]


def test_garbage_from_strangers_closes_only_their_connections(play: Scene) -> None:
    async def scene() -> None:
        async with running(2) as (n1, _):
            for garbage in GARBAGE:
                n1.lines.clear()
                reader, writer = await stranger(n1)
                writer.write(garbage)
                await must_be_closed(reader)
                await n1.until(lambda: bool(n1.lines))
                assert len(n1.lines) == 1
                writer.close()
            await is_whole(n1)
            assert n1.lost == []

    play(scene)


BAD_FRAMES = [
    (MAX_CLIENT_BYTES + 1).to_bytes(4, "big"),
    b"\xff\xff\xff\xff",
    encode_frame(b""),
    encode_frame(b"\xc1"),
    encode_frame(messages.encode([1])),
    encode_frame(b"\x91" * 100_000),
    *(encode_frame(b"\xc1" + random.Random(seed).randbytes(50)) for seed in range(10)),
]


def test_a_bad_frame_of_a_client_closes_its_connection_and_what_follows_is_not_read(play: Scene) -> None:
    async def scene() -> None:
        async with running(1) as (n1,):
            for count, bad in enumerate(BAD_FRAMES, start=1):
                n1.lines.clear()
                writer = await enter(n1)
                writer.write(encode_frame(requests.encode("good")) + bad + encode_frame(requests.encode("late")))
                await n1.until(lambda count=count: len(n1.gone) == count)  # type: ignore[misc]
                assert len(n1.lines) == 1
                writer.close()
            assert [request for _, request in n1.asked] == ["good"] * len(BAD_FRAMES)
            await is_whole(n1)

    play(scene)


def test_a_bad_frame_of_a_peer_closes_its_connection(play: Scene) -> None:
    async def scene() -> None:
        ports = free_ports(2)
        n1 = Node(1, ports, {})
        await n1.transport.start()
        writer = await enter(n1, 2)
        writer.write(encode_frame(messages.encode([1])) + encode_frame(requests.encode("not for peers")))
        await n1.until(lambda: n1.lost == [2])
        assert n1.received == [(2, [1])]
        await is_whole(n1)
        writer.close()
        await n1.transport.stop()

    play(scene)


def test_a_half_open_connection_is_closed_in_time(play: Scene) -> None:
    async def scene() -> None:
        async with running(1, limits=IMPATIENT) as (n1,):
            silent, silent_writer = await stranger(n1)
            halting, halting_writer = await stranger(n1)
            halting_writer.write(b"\0\0")
            await must_be_closed(silent)
            await must_be_closed(halting)
            assert sum("handshake was not done in time" in line for line in n1.lines) == 2
            silent_writer.close()
            halting_writer.close()

    play(scene)


def test_a_peer_that_accepts_and_says_nothing_is_dialled_again(play: Scene) -> None:
    async def scene() -> None:
        ports, dialled = free_ports(2), asyncio.Semaphore(0)
        mute = await asyncio.start_server(lambda *_: dialled.release(), "127.0.0.1", ports[2])
        n1 = Node(1, ports, {"limits": IMPATIENT})
        await n1.transport.start()
        for _ in range(3):
            await asyncio.wait_for(dialled.acquire(), WAIT_S)
        assert (n1.up, n1.lost) == ([], [])
        await n1.transport.stop()
        mute.close()

    play(scene)
