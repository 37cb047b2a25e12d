"""kill -9 leaves the page cache, so it cannot show durability: here strace shows what reached the disk before a reply.

Three nodes run under strace, which also makes each fdatasync slower, so that an answer that does not wait for it comes
first for certain. Before the reply to a write leaves, two of three nodes have synced each journal write that it rests
on: the prepares of its shards, and what holds its commit timestamp (the decision, or the entry of a one-shard commit).
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from nodes.client import Cluster
from nodes.requests import Reply
from nodes.sql.keys import shard_of_slot, shard_slot
from tests.e2e import trace
from tests.e2e.cluster import ROOT, LocalCluster

PLANTED = sorted((Path(__file__).parent / "planted").glob("*.patch"))
SYNC_DELAY_US = 30_000
QUORUM = 2
TABLE = "CREATE TABLE notes (id INT PRIMARY KEY, note TEXT NOT NULL)"
INSERT = "INSERT INTO notes (id, note) VALUES ($1, $2) RETURNING note"


class Traced:
    """One write to a traced cluster: the marks in its rows, its reply, and the calls of each node."""

    def __init__(self, reply: Reply, marks: list[bytes], ports: set[int]) -> None:
        self.reply, self.marks, self.ports = reply, marks, ports

    def unsafe(self, nodes: list[list[trace.Call]]) -> list[str]:
        """What the reply rests on and was not safe on a quorum when the reply left; [] when all was."""
        sent = trace.sent_at(nodes, self.marks[0], self.ports)
        assert sent is not None, "the reply must be found in the trace"
        found = []
        for mark in (*self.marks, self.reply.commit_ts.to_bytes(8, "big")):
            safe = [at for at in (trace.synced_at(node, mark) for node in nodes) if at is not None and at < sent]
            if len(safe) < QUORUM:
                found.append(f"{mark!r} was safe on {len(safe)} nodes when the reply left")
        return found


def key_pairs(shards: int) -> tuple[int, int, int]:
    """Three keys, the last two on different shards."""
    homes = {key: shard_of_slot(shard_slot(("INT",), (key,)), shards) for key in range(1, 100)}
    return 1, 2, next(key for key in homes if key > 2 and homes[key] != homes[2])


def write_under_strace(directory: Path, code: Path) -> list[str]:
    """What was unsafe in a write of one shard and in one of two, by nodes that run `code`."""
    cluster = LocalCluster(directory / "home", restart_s=None, code=code)
    traces = {node: directory / f"trace-n{node}" for node in cluster.numbers}
    try:
        for node, prefix in traces.items():
            cluster.wrapper = tuple(trace.command(prefix, SYNC_DELAY_US))
            cluster.start(node)
        cluster.wait_ready(60)
        with cluster.client() as client:
            client.execute(TABLE)
            alone, *pair = key_pairs(cluster.shards)
            writes = [write(client, [alone]), write(client, pair)]
    finally:
        cluster.terminate()
    assert not cluster.unexpected, cluster.unexpected
    nodes = [trace.calls(prefix, SYNC_DELAY_US) for prefix in traces.values()]
    return [words for each in writes for words in each.unsafe(nodes)]


def write(client: Cluster, keys: list[int]) -> Traced:
    """One transaction that inserts these keys."""
    marks = [f"mark-{uuid.uuid4()}" for _ in keys]
    reply = client.execute_many([(INSERT, [key, mark]) for key, mark in zip(keys, marks, strict=True)], expect_rows=1)
    assert len(reply.shards) == len(keys), "each key is on a shard of its own"
    return Traced(reply, [mark.encode() for mark in marks], trace.own_ports())


def code_with(patch: Path, directory: Path) -> Path:
    """A copy of the nodes' code with the patch in it; a patch that no longer applies is an error."""
    code = directory / "code"
    shutil.copytree(ROOT / "nodes", code / "nodes", ignore=shutil.ignore_patterns("__pycache__"))
    command = ["patch", "--strip=1", "--fuzz=0", "--forward", "--batch", f"--directory={code}", f"--input={patch}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{patch.name} no longer applies: {done.stdout}{done.stderr}"
    return code


def test_a_reply_leaves_after_a_quorum_has_synced_what_it_rests_on(tmp_path: Path) -> None:
    assert write_under_strace(tmp_path, ROOT) == []


@pytest.mark.parametrize("patch", PLANTED, ids=lambda patch: patch.stem)
def test_a_store_that_does_not_wait_for_its_disk_is_found_out(patch: Path, tmp_path: Path) -> None:
    assert write_under_strace(tmp_path, code_with(patch, tmp_path)) != []


def test_both_ways_not_to_wait_for_the_disk_are_planted() -> None:
    assert [patch.stem for patch in PLANTED] == ["journal-without-fdatasync", "journal-without-waiting"]
