"""The client side of one measured point: two processes, their clients split between them.

Each subject's module has `connect(arguments, clients, rows, process)`, which gives the client objects of one process,
each with `transfer()` (or `work(tally)`, which does all of them) and `close()`.

A client transfers without a pause. What is finished between `start` and `start + seconds` counts; clients run before
(to warm up) and after (until told to end), so that the load is whole for all of that time.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

PROCESSES = 2
WARM_UP_S = 1.0
CONNECT_PATIENCE_S = 60.0


class Point(NamedTuple):
    """One measured point. Latencies in milliseconds; `client_cpu`: cores that the client processes used;
    `most_attempts`: of one transfer, where clients count them (else 0)."""

    clients: int
    seconds: float
    transfers: int
    failures: dict[str, int]
    p50_ms: float
    p99_ms: float
    client_cpu: float
    most_attempts: int

    @property
    def per_second(self) -> float:
        return self.transfers / self.seconds


class Tally:
    """What one process's clients did: (end, duration) of each transfer, and failures by kind."""

    def __init__(self) -> None:
        self.done: list[tuple[float, float]] = []
        self.failures: list[tuple[float, str]] = []
        self.over = threading.Event()

    def work(self, transfer: Callable[[], None]) -> None:
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                transfer()
            except Exception as error:  # a failure is counted, whatever it is; the client goes on
                self.failures.append((time.monotonic(), type(error).__name__))
                continue
            ended = time.monotonic()
            self.done.append((ended, ended - begun))


def _job(client: Any, tally: Tally) -> threading.Thread:
    if hasattr(client, "work"):
        return threading.Thread(target=client.work, args=(tally,), daemon=True)
    return threading.Thread(target=tally.work, args=(client.transfer,), daemon=True)


def _process(arguments: dict[str, Any], clients: int, rows: int, number: int, pipe: Connection) -> None:
    """One client process: connect, say so, run from the first word to the last, send the tally."""
    subject = import_module(f"benchmarks.{arguments['module']}")
    transfers = subject.connect(arguments, clients, rows, f"{number}-{time.time_ns()}")
    tally = Tally()
    threads = [_job(each, tally) for each in transfers]
    pipe.send("connected")
    pipe.recv()
    for thread in threads:
        thread.start()
    start, end = pipe.recv()
    time.sleep(max(0.0, start - time.monotonic()))
    cpu = time.process_time()
    time.sleep(max(0.0, end - time.monotonic()))
    cpu = time.process_time() - cpu
    tally.over.set()
    for thread in threads:
        thread.join(15)
    done = [took for ended, took in tally.done if start <= ended < end]
    failed = [kind for at, kind in tally.failures if start <= at < end]
    pipe.send((done, failed, cpu, max(getattr(each, "most_attempts", 0) for each in transfers)))
    for each in transfers:
        each.close()


def measure(arguments: dict[str, Any], clients: int, rows: int, seconds: float) -> Point:
    """Run `clients` clients against a subject and count; the subject's `arguments()` say how to reach it."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for number in range(min(PROCESSES, clients)):
        share = clients // PROCESSES + (number < clients % PROCESSES)
        ours, theirs = context.Pipe()
        process = context.Process(target=_process, args=(arguments, share, rows, number, theirs), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        _expect(pipe, CONNECT_PATIENCE_S)
    for pipe in pipes:
        pipe.send("go")
    start = time.monotonic() + WARM_UP_S
    for pipe in pipes:
        pipe.send((start, start + seconds))
    tallies = [_expect(pipe, WARM_UP_S + seconds + CONNECT_PATIENCE_S) for pipe in pipes]
    for process in processes:
        process.join()
    return _point(clients, seconds, tallies)


def _expect(pipe: Any, timeout: float) -> Any:
    if not pipe.poll(timeout):
        raise TimeoutError(f"a client process said nothing for {timeout:.0f} s")
    return pipe.recv()


def _point(clients: int, seconds: float, tallies: list[Any]) -> Point:
    took = sorted(each for tally in tallies for each in tally[0])
    failures: dict[str, int] = {}
    for kind in (kind for tally in tallies for kind in tally[1]):
        failures[kind] = failures.get(kind, 0) + 1
    p50, p99 = (round(took[int(len(took) * share)] * 1000, 2) if took else 0.0 for share in (0.5, 0.99))
    cpu = round(sum(tally[2] for tally in tallies) / seconds, 2)
    return Point(clients, seconds, len(took), failures, p50, p99, cpu, max(tally[3] for tally in tallies))
