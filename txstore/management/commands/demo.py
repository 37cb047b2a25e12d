"""`manage.py demo`: a bank on the running cluster, a node killed under load, and the proof that no money was lost."""

from __future__ import annotations

import fcntl
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from nodes.client import Cluster
from nodes.errors import StoreError
from txstore.demo.screen import Screen
from txstore.demo.tour import Tour, Wishes
from txstore.home import Home, HomeError

READY_S = 30.0
INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Load a bank into tables of its own (demo_accounts, demo_ledger) of the running cluster, move money, kill one"
        " node with kill -9 and prove on one snapshot that nothing was lost. Exit status 1 if the proof does not hold."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--accounts", type=_whole(2, 1_000_000), default=100_000, help="default 100000")
        parser.add_argument("--seconds", type=_whole(3, 600), default=30, help="of transfers; default 30")
        parser.add_argument("--clients", type=_whole(1, 256), default=16, help="threads that move money; default 16")
        parser.add_argument("--no-kill", action="store_true", help="kill no node")
        parser.add_argument("--yes", action="store_true", help="do not ask before a node is killed")

    def handle(self, *, accounts: int, seconds: int, clients: int, no_kill: bool, yes: bool, **_: Any) -> None:
        home = Home.from_env()
        screen = Screen(Console(file=sys.stdout))
        try:
            with _alone(home), _connected(home, clients) as cluster:
                kills = not no_kill and (yes or _agrees())
                holds = self._play(Tour(home, cluster, screen, Wishes(accounts, seconds, clients, kills)))
        except KeyboardInterrupt:
            raise CommandError("Stopped. The next run begins where it can.", returncode=INTERRUPTED) from None
        if not holds:
            raise CommandError("The proof does not hold.", returncode=1)
        screen.say("The proof holds.")

    def _play(self, tour: Tour) -> bool:
        try:
            tour.load()
        except StoreError as error:
            raise CommandError(f"The bank could not be loaded: {error}", returncode=2) from error
        told = tour.move()
        try:
            return tour.prove(told)
        except (StoreError, RuntimeError) as error:
            raise CommandError(f"The proof could not be made: {error}", returncode=1) from error


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
            raise ArgumentTypeError(f"a whole number from {least} to {most}, not {text!r}")
        return int(text)

    return read


def _agrees() -> bool:
    try:
        answer = input("In the middle one node is killed with kill -9; `make up` starts it again. Kill it? [Y/n] ")
    except EOFError:
        print("no: there is nobody to ask (--yes kills without asking).")
        return False
    return answer.strip().lower() in ("", "y", "yes")


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """CommandError when there is no home, or another demo runs on it."""
    if not home.exists():
        raise CommandError(f"There is no cluster at {home.path}: start one with `make up`.", returncode=2)
    with (home.path / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandError(f"Another demo runs on {home.path}.", returncode=2) from error
        yield


@contextmanager
def _connected(home: Home, clients: int) -> Iterator[Cluster]:
    """A client of the home's cluster, once every group has a leader; CommandError when that takes too long."""
    try:
        addresses, secret = home.node_addresses(), home.cluster_secret()
        home.shape()
    except (OSError, HomeError) as error:
        raise CommandError(f"{home.path} is no home of a cluster: {error}", returncode=2) from error
    with Cluster.connect(",".join(addresses), secret=secret, max_connections=clients + 8) as cluster:
        deadline = time.monotonic() + READY_S
        while why := _unready(cluster):
            if "no node answers" in why or time.monotonic() > deadline:
                words = f"No cluster answers for {home.path}: {why}. Start it with `make up`."
                raise CommandError(words, returncode=2)
            time.sleep(0.2)
        yield cluster


def _unready(cluster: Cluster) -> str:
    try:
        status = cluster.status(timeout=3.0)
    except StoreError as error:
        return str(error)
    leaderless = [group["group"] for group in status["groups"] if not group["leader"]]
    return f"{', '.join(leaderless)} without a leader" if leaderless else ""
