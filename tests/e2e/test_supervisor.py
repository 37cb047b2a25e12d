"""The supervisor with small programs: who is started again, and that nobody outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import ROOT

SUPERVISOR = """
import json, os, sys
from pathlib import Path
from txstore import supervisor

supervisor.STOP_S = float(sys.argv[2])
supervisor.LOG_BYTES_MAX = 100_000
paths = lambda fields: {k: Path(v) if k in ("log", "pid_file") else v for k, v in fields.items()}
programs = [supervisor.Program(**paths(fields)) for fields in json.loads(sys.argv[1])]
supervisor.Supervisor(programs, dict(os.environ), lambda words: print(words, flush=True)).run()
"""
WAITS = "import signal; signal.pause()"
ENDS_WELL = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("handed over", flush=True), sys.exit(0)))
print("up", flush=True)
while True:
    signal.pause()
"""
IS_STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""
FORKS = """
import os, signal
from pathlib import Path
from txstore.supervisor import die_with_parent
parent = os.getpid()
child = os.fork()
if child == 0:
    {tie}
    Path({file!r}).write_text(str(os.getpid()))
while True:
    signal.pause()
"""


def program(folder: Path, name: str, code: str, **fields: Any) -> dict[str, Any]:
    command = [sys.executable, "-c", code]
    return {
        "name": name,
        "command": command,
        "log": str(folder / f"{name}.log"),
        "pid_file": str(folder / name),
    } | fields


def eventually(question: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """The first answer that is true; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return answer


def is_alive(pid: int) -> bool:
    """Does the process run? A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def pid_in(file: Path) -> int:
    """The pid that a file names; waits for the file."""
    return int(eventually(lambda: file.exists() and file.read_text()))


@pytest.fixture
def supervise() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started = []

    def start(*programs: dict[str, Any], stop_s: float = 5.0) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SUPERVISOR, json.dumps(programs), str(stop_s)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_program_that_was_killed_starts_again(supervise, tmp_path):
    supervise(program(tmp_path, "a", WAITS, restart_s=0.2), program(tmp_path, "b", WAITS))
    a, b = pid_in(tmp_path / "a"), pid_in(tmp_path / "b")
    died_at = time.monotonic()
    os.kill(a, signal.SIGKILL)
    eventually(lambda: (tmp_path / "a").exists() and pid_in(tmp_path / "a") != a)
    assert time.monotonic() - died_at >= 0.2
    assert pid_in(tmp_path / "b") == b, "the other program goes on"


def test_never_leaves_a_program_dead_and_takes_its_pid_file_away(supervise, tmp_path):
    up = supervise(program(tmp_path, "a", WAITS, restart_s=None), program(tmp_path, "b", WAITS))
    os.kill(pid_in(tmp_path / "a"), signal.SIGKILL)
    assert "a was ended by SIGKILL and stays down" in up.stdout.readline()
    time.sleep(1.2)
    assert not (tmp_path / "a").exists()
    assert is_alive(pid_in(tmp_path / "b"))


def test_a_program_that_keeps_ending_waits_longer_each_time(supervise, tmp_path):
    up = supervise(program(tmp_path, "a", "raise SystemExit(3)", restart_s=0.05, restart_s_max=0.2))
    waits = [up.stdout.readline().split(";")[0] for _ in range(4)]
    assert waits == [f"a ended with 3, starts again in {wait} s" for wait in ("0.1", "0.2", "0.2", "0.2")]


def test_a_program_that_would_only_end_again_stays_down(supervise, tmp_path):
    up = supervise(program(tmp_path, "a", "raise SystemExit(3)", restart_s=0.05, final_code=3))
    assert "a ended with 3 and stays down" in up.stdout.readline()


def test_a_fixed_wait_stays_fixed(supervise, tmp_path):
    up = supervise(program(tmp_path, "a", "raise SystemExit(3)", restart_s=0.05, restart_s_max=0.05))
    waits = [up.stdout.readline().split(";")[0] for _ in range(3)]
    assert waits == ["a ended with 3, starts again in 0.05 s"] * 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_programs_end_by_themselves(supervise, tmp_path, number):
    up = supervise(program(tmp_path, "a", ENDS_WELL))
    pid = pid_in(tmp_path / "a")
    eventually(lambda: (tmp_path / "a.log").read_text() == "up\n")
    up.send_signal(number)
    assert up.wait(10) == 0
    assert (tmp_path / "a.log").read_text() == "up\nhanded over\n"
    assert not is_alive(pid)


def test_a_program_that_does_not_end_is_killed(supervise, tmp_path):
    up = supervise(program(tmp_path, "a", IS_STUBBORN), stop_s=0.3)
    pid = pid_in(tmp_path / "a")
    eventually(lambda: (tmp_path / "a.log").read_text())
    up.terminate()
    assert up.wait(5) == 0
    assert not is_alive(pid)


def test_a_stopped_program_is_killed_too(supervise, tmp_path):
    up = supervise(program(tmp_path, "a", WAITS), stop_s=0.3)
    pid = pid_in(tmp_path / "a")
    os.kill(pid, signal.SIGSTOP)
    up.terminate()
    assert up.wait(5) == 0
    assert not is_alive(pid)


def test_a_second_signal_does_not_wait(supervise, tmp_path):
    up = supervise(program(tmp_path, "a", IS_STUBBORN), stop_s=60)
    pid = pid_in(tmp_path / "a")
    eventually(lambda: (tmp_path / "a.log").read_text())
    up.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert up.poll() is None
    up.send_signal(signal.SIGINT)
    assert up.wait(5) == 0
    assert not is_alive(pid)


def test_kill_9_of_the_supervisor_leaves_no_child_nor_grandchild(supervise, tmp_path):
    forks = FORKS.format(tie="die_with_parent(parent)", file=str(tmp_path / "grandchild"))
    up = supervise(program(tmp_path, "a", forks), program(tmp_path, "b", IS_STUBBORN))
    pids = [pid_in(tmp_path / name) for name in ("a", "b", "grandchild")]
    up.kill()
    eventually(lambda: not any(is_alive(pid) for pid in pids))


def test_what_a_program_leaves_in_its_group_ends_with_it(supervise, tmp_path):
    supervise(program(tmp_path, "a", FORKS.format(tie="pass", file=str(tmp_path / "grandchild"))))
    grandchild = pid_in(tmp_path / "grandchild")
    os.kill(pid_in(tmp_path / "a"), signal.SIGKILL)
    eventually(lambda: not is_alive(grandchild))


def test_a_long_log_is_cut_and_its_last_part_kept(supervise, tmp_path):
    writes = "import signal\nprint('x' * 200_000, flush=True)\nsignal.pause()"
    supervise(program(tmp_path, "a", writes))
    eventually(lambda: (tmp_path / "a.log.1").exists() and (tmp_path / "a.log").stat().st_size == 0)
    assert (tmp_path / "a.log.1").stat().st_size == 200_001
