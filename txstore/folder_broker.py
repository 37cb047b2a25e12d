"""The broker that needs no server: kombu's transport over a folder, with three repairs.

A message appears whole or not at all: kombu creates its file first and writes it afterwards, and a worker that looks in
between takes an empty one, fails, and the message is gone. A message that is taken does not leave the folder before it
is deleted: kombu moves it through the system's directory for temporary files. And the folder is bounded: while nobody
takes messages, the oldest go, so that a worker that was away for a day finds no hundred thousand of them.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

MESSAGES_MAX = 1_000


class Channel(filesystem.Channel):
    """Both `data_folder_in` and `data_folder_out` name the folder. Names sort in the order of putting."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        folder = Path(self.data_folder_out)
        self._make_room(folder)
        name = f"{time.time_ns():020d}_{uuid.uuid4()}.{queue}.msg"
        unfinished = folder / f"{name}.part"
        unfinished.write_text(dumps(payload))
        unfinished.rename(folder / name)

    def _get(self, queue: str) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.partition(".")[2] == f"{queue}.msg":
                taken = folder / f"{name}.taken"
                try:
                    (folder / name).rename(taken)
                    payload = loads(taken.read_text())
                except FileNotFoundError:
                    continue  # another worker was quicker, or room was made
                taken.unlink(missing_ok=True)
                return payload
        raise Empty

    def _make_room(self, folder: Path) -> None:
        """What a process that died left half done goes like the oldest messages."""
        names = sorted(os.listdir(folder))
        for name in names[: max(0, len(names) - MESSAGES_MAX + 1)]:
            (folder / name).unlink(missing_ok=True)  # a worker may have taken it just now


class Transport(filesystem.Transport):
    Channel = Channel
