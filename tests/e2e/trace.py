"""What strace saw of nodes: which journal writes were synced when, and when an answer left for a client.

It reads the files of `strace -ff -ttt -T -yy -xx`, one per thread, so that no call is split over two lines. A call
begins at its time stamp and has returned at that plus its duration, plus the delay that strace put before its return.

*Left out*: calls that are not in `CALLS`; the tests fail if the store moves to others, since then nothing is found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2")
SENDS = ("write", "writev", "sendto", "sendmsg", "sendmmsg")
SYNCS = ("fdatasync", "fsync")
CALLS = (*dict.fromkeys((*WRITES, *SENDS, *SYNCS)),)
JOURNAL_FILE = "/segment-"

_LINE = re.compile(
    r"(\d+\.\d+) (\w+)\((\d+)<(TCP\w*:\[[^\]]*\]|[^>]*)>(.*)\) += (-?\d+).*?( \(DELAYED\))? <(\d+\.\d+)>$"
)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Call(NamedTuple):
    """One system call. `target`: the file's path, or `TCP:[local->remote]`; times in seconds of the epoch."""

    name: str
    target: str
    data: bytes
    result: int
    begun: float
    returned: float


def command(prefix: Path, sync_delay_us: int) -> list[str]:
    """strace as a wrapper that leaves the program its process id; every fdatasync takes `sync_delay_us` longer."""
    options = ["-D", "-f", "-ff", "-ttt", "-T", "-yy", "-xx", "-s", "65536", "--seccomp-bpf"]
    inject = ["-e", f"inject=fdatasync:delay_exit={sync_delay_us}"]
    return ["strace", *options, "-e", f"trace={','.join(CALLS)}", *inject, "-o", str(prefix)]


def calls(prefix: Path, sync_delay_us: int) -> list[Call]:
    """All calls of the threads of the process traced to `prefix` with that delay, by their beginning."""
    found: list[Call] = []
    for path in prefix.parent.glob(f"{prefix.name}.*"):
        lines = path.read_text(errors="replace").splitlines()
        found += [call for line in lines if (call := _call(line, sync_delay_us / 1e6)) is not None]
    return sorted(found, key=lambda call: call.begun)


def _call(line: str, delay: float) -> Call | None:
    match = _LINE.match(line)
    if match is None:
        return None
    begun, name, _, target, arguments, result, delayed, took = match.groups()
    data = bytes.fromhex("".join(_TEXT.findall(arguments)).replace("\\x", ""))
    path = bytes.fromhex(target.replace("\\x", "")).decode() if target.startswith("\\x") else target
    returned = float(begun) + float(took) + (delay if delayed else 0.0)
    return Call(name, path, data, int(result), float(begun), returned)


def synced_at(of_node: Sequence[Call], mark: bytes) -> float | None:
    """When the first journal write that holds `mark` was safe: a sync of that file, begun after it, had returned."""
    write = next((call for call in of_node if _writes_journal(call) and mark in call.data), None)
    if write is None:
        return None
    syncs = [
        call.returned
        for call in of_node
        if call.name in SYNCS and call.target == write.target and call.begun >= write.returned and call.result == 0
    ]
    return min(syncs, default=None)


def _writes_journal(call: Call) -> bool:
    return call.name in WRITES and JOURNAL_FILE in call.target


def sent_at(of_nodes: Iterable[Sequence[Call]], mark: bytes, ports: set[int]) -> float | None:
    """When the first message that holds `mark` was given to the kernel for a client with one of these ports."""
    sends = [
        call.begun
        for of_node in of_nodes
        for call in of_node
        if call.name in SENDS and mark in call.data and _remote_port(call.target) in ports
    ]
    return min(sends, default=None)


def _remote_port(target: str) -> int:
    match = re.search(r"->[^\]]*:(\d+)\]$", target)
    return int(match[1]) if match and target.startswith("TCP") else 0


def own_ports() -> set[int]:
    """The local ports of this process's TCP connections."""
    inodes = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            inodes.add(os.readlink(link))
        except OSError:
            continue
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in inodes}
