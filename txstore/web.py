"""The web server: granian, one WSGI worker with threads, on 127.0.0.1 unless `--address` says otherwise.

granian runs its worker as a process of its own. It ends with granian, also when that is killed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from granian import Granian
from granian.constants import Interfaces

from txstore.supervisor import STOP_S, die_with_parent

THREADS = 16


def load_application(server: int) -> Callable[..., Any]:
    """Runs in the worker, before anything else there; `server` is the pid of granian's own process."""
    die_with_parent(server)
    return import_module("txstore.wsgi").application


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m txstore.web", description="The web server of txstore.")
    parser.add_argument("--address", default="127.0.0.1", help="to listen on (default: %(default)s)")
    arguments = parser.parse_args()
    server = Granian(
        "txstore.wsgi:application",
        address=arguments.address,
        port=int(os.environ.get("TXSTORE_WEB_PORT") or 8000),
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=THREADS,
        workers_kill_timeout=int(STOP_S) - 2,
    )
    server.serve(target_loader=partial(load_application, os.getpid()), wrap_loader=False)


if __name__ == "__main__":
    main()
