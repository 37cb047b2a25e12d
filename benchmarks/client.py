"""What one call costs the process that makes it: the native client against a node that answers at once.

    python -m benchmarks.client [--threads 1,16,64] [--seconds 5]

The node is a process of its own that answers each transfer from memory, so what is measured is the client alone:
pool, frames, system calls, switches between threads. One line for each number of threads, and for as many tasks of the
awaited form: microseconds of CPU time (user and system) of the client's process per call, and calls per second.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from typing import Any

from nodes.client import Cluster
from nodes.requests import COMMITTED, Reply, Request, Result, Statement
from nodes.wire.codec import Codec
from nodes.wire.frames import FORMAT, MAX_CLIENT_BYTES, MAX_HANDSHAKE_BYTES, Splitter, encode_frame
from nodes.wire.handshake import NODE, NONCE_BYTES, Handshake, Hello
from nodes.wire.protocol import AskStatus, Done, FromClient, Named, StatusIs

SECRET = b"the secret of this benchmark"
TXN = "t" + "a" * 40
REQUEST = Request([Statement("UPDATE a SET b = b - $1 WHERE id = $2", [1, 2], 1) for _ in range(2)], 10_000)


class Node(asyncio.Protocol):
    """Answers every call with Named and Done in two writes, as a node does."""

    codec: Codec[FromClient] = Codec(FromClient)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        hello = Hello(FORMAT, NODE, 1, b"", b"i", os.urandom(NONCE_BYTES))
        self.handshake, self.splitter = Handshake(SECRET, hello, False), Splitter(MAX_HANDSHAKE_BYTES)

    def data_received(self, data: bytes) -> None:
        for body in self.splitter.feed(data):
            if not self.handshake.is_done:
                self.transport.writelines(encode_frame(answer) for answer in self.handshake.receive(body))
                self.splitter.limit = MAX_CLIENT_BYTES
                continue
            message = self.codec.decode(body)
            if isinstance(message, AskStatus):
                self._send(StatusIs(message.number, {}))
                continue
            self._send(Named(message.number, TXN))
            asyncio.get_running_loop().call_soon(
                self._send, Done(message.number, Reply(TXN, COMMITTED, 77, 1, ["s1", "s2"], [Result(row_count=1)] * 2))
            )

    def _send(self, message: Any) -> None:
        self.transport.write(encode_frame(self.codec.encode(message)))


def serve(pipe: Pipe) -> None:
    """The main function of the node's process: tells its port, then serves until it is ended."""
    import uvloop

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Node, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    uvloop.run(run())


def blocking(addresses: str, threads: int, seconds: float) -> tuple[int, float]:
    """(calls, CPU seconds) of that many threads on one client."""
    with Cluster.connect(addresses, secret=SECRET) as cluster:
        counts, over = [0] * threads, threading.Event()

        def work(place: int) -> None:
            while not over.is_set():
                cluster.submit(REQUEST)
                counts[place] += 1

        workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
        for worker in workers:
            worker.start()
        time.sleep(0.5)
        calls, cpu = sum(counts), time.process_time()
        time.sleep(seconds)
        calls, cpu = sum(counts) - calls, time.process_time() - cpu
        over.set()
        for worker in workers:
            worker.join()
        return calls, cpu


def awaited(addresses: str, tasks: int, seconds: float) -> tuple[int, float]:
    """The same of tasks on one loop."""
    from nodes.client import aio

    async def run() -> tuple[int, float]:
        async with aio.Cluster.connect(addresses, secret=SECRET) as cluster:
            count, is_over = 0, False

            async def work() -> None:
                nonlocal count
                while not is_over:
                    await cluster.submit(REQUEST)
                    count += 1

            async with asyncio.TaskGroup() as group:
                for _ in range(tasks):
                    group.create_task(work())
                await asyncio.sleep(0.5)
                calls, cpu = count, time.process_time()
                await asyncio.sleep(seconds)
                calls, cpu = count - calls, time.process_time() - cpu
                is_over = True
            return calls, cpu

    return asyncio.run(run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1,16,64")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--form", choices=["blocking", "awaited", "both"], default="both")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    node = context.Process(target=serve, args=(theirs,), daemon=True)
    node.start()
    addresses = f"127.0.0.1:{ours.recv()}"
    forms: dict[str, Callable[[str, int, float], tuple[int, float]]] = {"blocking": blocking, "awaited": awaited}
    for name, form in forms.items():
        for width in map(int, options.threads.split(",")):
            if options.form in (name, "both"):
                calls, cpu = form(addresses, width, options.seconds)
                cost, rate = cpu / calls * 1e6, calls / options.seconds
                print(f"{name:9} {width:4}: {cost:6.1f} us CPU a call, {rate:7.0f} calls/s")
    node.terminate()


if __name__ == "__main__":
    main()
