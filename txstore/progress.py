"""Waits until the cluster has done what an operator ordered of its nodes, and shows how far it is.

The order is written down in the cluster before anybody waits: whoever stops waiting stops nothing else.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable

from django.core.management.base import CommandError
from rich.console import Console

from nodes.errors import StoreError
from txstore import store
from txstore.members import Status

ORDER_S, STATUS_S, TURN_S = 10.0, 3.0, 0.5
INTERRUPTED = 130
GOES_ON = "It goes on by itself in the cluster; `manage.py cluster members` shows how far it is."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--no-wait", action="store_true", help="return when the order is written down")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds to wait until it is done (600)")


def wait(console: Console, missing: Callable[[Status], str], timeout: float) -> None:
    """Until nothing is `missing`; CommandError if that takes longer than `timeout` seconds, or at Ctrl-C."""
    deadline, shown = time.monotonic() + timeout, ""
    try:
        with console.status("waits for the cluster") as line:
            while words := _look(missing):
                if words != shown:
                    line.update(words)
                    if not console.is_terminal:
                        console.print(words, soft_wrap=True)
                shown = words
                if time.monotonic() >= deadline:
                    raise CommandError(f"Not done after {timeout:g} s: {words}. {GOES_ON}")
                time.sleep(TURN_S)
    except KeyboardInterrupt:
        raise CommandError(f"No longer waiting. {GOES_ON}", returncode=INTERRUPTED) from None


def _look(missing: Callable[[Status], str]) -> str:
    try:
        return missing(store.cluster().status(wide=True, timeout=STATUS_S))
    except StoreError as error:
        return str(error)
