"""The broker that needs no server: kombu's transport over a folder, with two repairs.

A message appears whole or not at all: kombu creates its file first and writes it afterwards, and a worker that looks in
between takes an empty one, fails, and the message is gone. And the folder is bounded: while nobody takes messages, the
oldest go, so that a worker that was away for a day finds no hundred thousand of them.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps

MESSAGES_MAX = 1_000


class Channel(filesystem.Channel):  # type: ignore[misc]
    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        folder = Path(self.data_folder_out)
        self._make_room(folder)
        # kombu takes the messages in the order of their names.
        name = f"{time.time_ns() // 1_000_000:015d}_{uuid.uuid4()}.{queue}.msg"
        unfinished = folder / f"{name}.part"
        unfinished.write_bytes(str_to_bytes(dumps(payload)))
        unfinished.rename(folder / name)

    def _make_room(self, folder: Path) -> None:
        names = os.listdir(folder)
        for name in sorted(names)[: len(names) - MESSAGES_MAX + 1] if len(names) >= MESSAGES_MAX else []:
            (folder / name).unlink(missing_ok=True)  # a worker may have taken it just now


class Transport(filesystem.Transport):  # type: ignore[misc]
    Channel = Channel
