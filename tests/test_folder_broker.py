"""The broker in a folder: no half message is ever taken, and the folder stays small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from txstore import folder_broker
from txstore.home import PROJECT

WRITER = """
import sys, time
from pathlib import Path
from tests.test_folder_broker import connection

with connection(Path(sys.argv[1])) as broker, broker.SimpleQueue("whole") as queue:
    for number in range(int(sys.argv[2])):
        queue.put({"number": number, "filling": "x" * 2_000})
        time.sleep(0.0003)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()
    return tmp_path


def connection(folder: Path, **options: float) -> Connection:
    """kombu knows of declared queues by name, once for the whole process: so each test names its own."""
    folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
    options |= {name: str(folder / value) for name, value in folders.items()}
    return Connection("filesystem://localhost", transport=folder_broker.Transport, transport_options=options)


def test_messages_come_in_the_order_they_were_put(folder):
    with connection(folder) as broker, broker.SimpleQueue("ordered") as queue:
        for number in range(20):
            queue.put({"number": number})
        assert [queue.get(timeout=5).payload["number"] for _ in range(20)] == list(range(20))
        with pytest.raises(Empty):
            queue.get(block=False)


def test_a_reader_that_never_rests_takes_every_message_whole(folder):
    """With kombu's own transport some are lost: a reader sees a file before it is written."""
    count, taken = 2_000, []
    with connection(folder, polling_interval=0.001) as broker, broker.SimpleQueue("whole") as queue:
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(count)], cwd=PROJECT)
        try:
            while len(taken) < count:
                message = queue.get(timeout=30)
                taken.append(message.payload["number"])
                message.ack()
        finally:
            writer.kill()
            writer.wait()
    assert taken == list(range(count))
    assert list((folder / "queue").iterdir()) == []


def test_while_nobody_takes_messages_the_oldest_go(folder, monkeypatch):
    monkeypatch.setattr(folder_broker, "MESSAGES_MAX", 10)
    with connection(folder) as broker, broker.SimpleQueue("bounded") as queue:
        (folder / "queue" / "000000000000001_left-over.bounded.msg.part").touch()
        for number in range(25):
            queue.put(number)
        assert [queue.get(timeout=5).payload for _ in range(10)] == list(range(15, 25))
        assert list((folder / "queue").iterdir()) == []
