"""A TCP proxy before each node that knows frames: it drops, delays and repeats what nodes send to each other, whole
messages at a time, as the cores have to bear it. Delayed ones are overtaken by later ones.

Nodes know each other by the proxies' addresses and listen on their own, which clients dial. The handshake of a
connection goes through as it is, and so does all that a node answers on it: what nodes say to each other goes the way
of the dialler (nodes/runtime/transport.py).
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from nodes.wire.frames import LENGTH_BYTES
from tests.e2e.cluster import HOST

HANDSHAKE_FRAMES = 2
REPEATED_WITHIN_S = 0.2


@dataclass(frozen=True)
class Weather:
    """Shares of messages; a delayed one comes up to `delay_s` later."""

    dropped: float = 0.0
    repeated: float = 0.0
    delayed: float = 0.0
    delay_s: float = 0.0


FAIR = Weather()


class Proxies:
    """One for each node, all on a loop in a thread of their own; `weather` may be set at any time."""

    def __init__(self, fronts: Mapping[int, int], backs: Mapping[int, int]) -> None:
        """Ports by node: where peers dial it, and where it listens."""
        self.weather = FAIR
        self.counts: Counter[str] = Counter()
        self._ports = {fronts[node]: backs[node] for node in fronts}
        self._rng = Random()
        self._loop = asyncio.new_event_loop()
        self._ready, self._ending = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()], daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30), "the proxies listen"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(30)
        self._loop.close()

    def summary(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))

    async def _serve(self) -> None:
        servers = [
            await asyncio.start_server(lambda *ends, back=back: self._carry(*ends, back), HOST, front)
            for front, back in self._ports.items()
        ]
        self._ready.set()
        await self._ending.wait()
        for server in servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: int) -> None:
        try:
            answers, onward = await asyncio.open_connection(HOST, back)
        except OSError:  # the node is down: so is its address
            writer.close()
            return
        ways = [asyncio.ensure_future(self._frames(reader, onward)), asyncio.ensure_future(_copy(answers, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            onward.close()
            writer.close()

    async def _frames(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
        """Message by message, until the connection ends."""
        passed = 0
        while True:
            with_length = await reader.readexactly(LENGTH_BYTES)
            frame = with_length + await reader.readexactly(int.from_bytes(with_length, "big"))
            passed += 1
            if passed <= HANDSHAKE_FRAMES:
                onward.write(frame)
            else:
                self._pass(frame, onward)
            await onward.drain()

    def _pass(self, frame: bytes, onward: asyncio.StreamWriter) -> None:
        weather, rng = self.weather, self._rng
        fate = rng.random()
        self.counts["all"] += 1
        if fate < weather.dropped:
            self.counts["dropped"] += 1
        elif fate < weather.dropped + weather.delayed:
            self.counts["delayed"] += 1
            self._later(rng.uniform(0, weather.delay_s), frame, onward)
        else:
            onward.write(frame)
            if rng.random() < weather.repeated:
                self.counts["repeated"] += 1
                self._later(rng.uniform(0, REPEATED_WITHIN_S), frame, onward)

    def _later(self, delay_s: float, frame: bytes, onward: asyncio.StreamWriter) -> None:
        self._loop.call_later(delay_s, lambda: None if onward.is_closing() else onward.write(frame))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
