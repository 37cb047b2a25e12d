"""`python -m nodes serve --config FILE`: one node, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from pathlib import Path

import uvloop

from nodes.errors import Corrupt, Unavailable
from nodes.runtime.config import ConfigError, load
from nodes.runtime.node import Node


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m nodes", description="A node of txstore.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run one node in the foreground")
    serve.add_argument("--config", type=Path, required=True, help="the node's config.toml")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2

    async def run() -> int:
        return await Node(config).run()

    # The log keeps many small long-lived objects: scanning them in every young collection only costs time.
    gc.set_threshold(50_000, 20, 100)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run())
    except (Corrupt, Unavailable, OSError) as error:
        logging.getLogger("txstore.node").critical("n%d cannot start: %s", config.node, error)
        return 74


if __name__ == "__main__":
    sys.exit(main())
