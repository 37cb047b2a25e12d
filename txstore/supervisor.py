"""The supervisor: keeps programs running in the foreground, and leaves none behind.

It decides when a program that ended is started again, and how all of them end. A program that dies young waits twice
as long each time, from `restart_s` up to `restart_s_max`; with both equal the wait is fixed, with None it stays dead.

*Invariants*: a child never outlives the supervisor, not even one that is killed: the kernel ends it (PR_SET_PDEATHSIG),
and a child with children of its own has them call `die_with_parent` too. Each child leads a process group, which is
ended with it, before its pid can be given to anybody else. A pid file names a process that was alive when it was
written, and goes when that process has ended.
*Left out*: order among programs, and dependencies: each must bear that another is not there yet.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from txstore.home import write_whole

PR_SET_PDEATHSIG = 1
LOG_BYTES_MAX = 10 * 1024 * 1024
STOP_S = 5.0
YOUNG_S = 10.0
TURN_S = 1.0

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Program:
    """What is to be kept running. Its output, both streams, is appended to `log`. Times are seconds. `final_code`: the
    exit status with which it would only end again."""

    name: str
    command: Sequence[str]
    log: Path
    pid_file: Path | None = None
    restart_s: float | None = 1.0
    restart_s_max: float = 1.0
    final_code: int | None = None


class Supervisor:
    """Runs programs until SIGINT, SIGTERM or SIGHUP; a second signal ends them without waiting."""

    def __init__(self, programs: Sequence[Program], environment: dict[str, str], tell: Callable[[str], None]) -> None:
        self._children = [_Child(program, environment, tell) for program in programs]
        self._signals = 0
        self._wake, self._waker = socket.socketpair()

    def run(self, each_turn: Callable[[], float] = lambda: TURN_S) -> None:
        """Blocks. `each_turn` is called at every turn and gives the seconds after which it wants the next one."""
        self._catch_signals()
        try:
            while not self._signals:
                for child in self._children:
                    child.turn()
                wait_s = min([each_turn(), TURN_S, *(child.wait_s() for child in self._children)])
                self._sleep(wait_s)
        finally:
            self._stop()

    def _catch_signals(self) -> None:
        """Every signal also wakes the loop; a SIGHUP that the caller ignores (nohup) stays ignored."""
        for end in (self._wake, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self._signals += 1

    def _sleep(self, seconds: float) -> None:
        select.select([self._wake], [], [], max(0.0, seconds))
        with suppress(BlockingIOError):
            self._wake.recv(4096)

    def _stop(self) -> None:
        """SIGTERM to all, STOP_S for them to end by themselves, then SIGKILL for whoever is left in their groups."""
        before, deadline = self._signals, time.monotonic() + STOP_S
        for child in self._children:
            child.terminate()
        while any(child.is_alive() for child in self._children) and self._signals == before:
            if (left_s := deadline - time.monotonic()) <= 0:
                break
            self._sleep(min(left_s, TURN_S))
        for child in self._children:
            child.bury()


class _Child:
    """One program and its current process, if it has one."""

    def __init__(self, program: Program, environment: dict[str, str], tell: Callable[[str], None]) -> None:
        self.program = program
        self._environment = environment
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._due_at: float | None = 0.0
        self._delay_s = program.restart_s or 0.0

    def turn(self) -> None:
        """Whatever is due: notice the end of the process, start the next one, cut the log."""
        now = time.monotonic()
        if self._process and not self.is_alive():
            self._on_end(now)
        if not self._process and self._due_at is not None and self._due_at <= now:
            self._start(now)
        _cut(self.program.log)

    def wait_s(self) -> float:
        """Seconds until this program wants a turn."""
        return TURN_S if self._process or self._due_at is None else self._due_at - time.monotonic()

    def is_alive(self) -> bool:
        """Looks without reaping: while the process is a zombie its pid and group stay its own."""
        return bool(self._process) and not os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def terminate(self) -> None:
        if self._process and self.is_alive():
            os.kill(self._pid, signal.SIGTERM)

    def bury(self) -> int:
        """End the whole group, reap the process and give its exit code (negative: the signal that ended it)."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        if self.program.pid_file:
            self.program.pid_file.unlink(missing_ok=True)
        return code

    @property
    def _pid(self) -> int:
        assert self._process, "only a started process has a pid"
        return self._process.pid

    def _start(self, now: float) -> None:
        supervisor = os.getpid()
        with self.program.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.program.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal reaches the supervisor alone
                preexec_fn=lambda: die_with_parent(supervisor),
            )
        self._started_at = now
        if self.program.pid_file:
            write_whole(self.program.pid_file, f"{self._pid}\n")

    def _on_end(self, now: float) -> None:
        code = self.bury()
        how = f"ended with {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        if self.program.restart_s is None or code == self.program.final_code:
            self._due_at = None
            self._tell(f"{self.program.name} {how} and stays down; its log is {self.program.log}")
            return
        is_young = now - self._started_at < YOUNG_S
        self._delay_s = min(self._delay_s * 2, self.program.restart_s_max) if is_young else self.program.restart_s
        self._delay_s = max(self._delay_s, self.program.restart_s)
        self._due_at = now + self._delay_s
        self._tell(f"{self.program.name} {how}, starts again in {self._delay_s:g} s; its log is {self.program.log}")


def die_with_parent(parent: int, with_signal: int = signal.SIGKILL) -> None:
    """Have the kernel end this process when `parent` ends; at once if it already has."""
    if _libc.prctl(PR_SET_PDEATHSIG, with_signal, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), with_signal)


def _cut(log: Path) -> None:
    """Keep one old part. The writer has the file open, so it is copied and emptied; a line written between is lost."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)
