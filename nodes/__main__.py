"""`python -m nodes serve --config FILE`: one node, until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from nodes.runtime.config import ConfigError, load
from nodes.runtime.node import serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m nodes", description="A node of txstore.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="run one node in the foreground")
    serving.add_argument("--config", type=Path, required=True, help="the node's config.toml")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return serve(config)


if __name__ == "__main__":
    sys.exit(main())
