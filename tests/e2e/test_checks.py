"""The watch as `up` runs it, once with the broker in the home and once with Redis: a node is killed, the worker is
killed, the worker sleeps, an interval is changed; what is seen over REST and in the database is judged."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from monitoring.selfcheck.run import WORKLOADS
from tests.e2e.admin import AdminDoor
from tests.e2e.cluster import ROOT
from tests.e2e.redis import redis_server
from tests.e2e.rest import Door
from tests.e2e.test_supervisor import eventually, is_alive
from tests.e2e.test_up import READY_S, Up, node_pid, ports, processes_of
from tests.receiver import Receiver, receiving
from txstore.home import Home

SHOWN_S = 15.0
AWAY_S = 14.0
LEAN_MB = 90
PATH = "/api/v1/health"
ASK_NONSENSE = "from txstore.celery import app; app.send_task('monitoring.selfcheck', kwargs={'seconds': 0})"


class Watch:
    """A running `up`, seen through REST, the admin and its database."""

    def __init__(self, home: Home, address: str, receiver: Receiver, broker: dict[str, str]) -> None:
        self.home, self.receiver, self.broker = home, receiver, broker
        self.door = Door(address, home.api_token())
        self.admin = AdminDoor(address)
        self.admin.log_in(home.admin_password())

    def state(self) -> str:
        return str(self.door.ask("GET", PATH).body["state"])

    def flips(self, check: str, subject: str, after: datetime) -> list[tuple[str, str]]:
        """Of one subject since a time, the oldest first."""
        found = self.door.ask("GET", f"{PATH}/flips?check={check}&subject={subject}").body["results"]
        return [(flip["before"], flip["after"]) for flip in reversed(found) if time_of(flip["at"]) > after]

    def manage(self, *arguments: str) -> None:
        """As from a shell that knows the home and the broker, and not the webhook."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        environment = {"PATH": "/usr/bin:/bin", "TXSTORE_HOME": str(self.home.path), **self.broker}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)
        assert ended.returncode == 0, ended
        assert "The broker does not answer" not in ended.stderr

    def told(self, subject: str, after: datetime, check: str = "node_answers") -> list[tuple[str, str]]:
        """What the webhook was told of a subject since a time."""
        got = [flip for flip in self.receiver.got if (flip["check"], flip["subject"]) == (check, subject)]
        return [(flip["before"], flip["after"]) for flip in got if time_of(flip["at"]) > after]

    def results(self, check: str, after: datetime) -> list[datetime]:
        """When the runs of a check since a time gathered their facts."""
        sql = "SELECT at FROM monitoring_checkresult WHERE check_name = ? ORDER BY at"
        with contextlib.closing(sqlite3.connect(self.home.database_file, timeout=20)) as connection:
            rows = connection.execute(sql, [check]).fetchall()
        return [at for (text,) in rows if (at := time_of(text)) > after]

    def pid_of(self, program: str) -> int:
        """The worker or beat, as far as it runs; 0 while it does not."""
        for pid in processes_of(self.home):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"txstore.celery" in words and program.encode() in words and is_alive(pid):
                    return pid
        return 0

    def set_interval(self, check: str, seconds: int) -> None:
        """Through the forms of the admin, as a person would."""
        intervals = "/admin/django_celery_beat/intervalschedule/"
        self.admin.post(f"{intervals}add/", {"every": str(seconds), "period": "seconds"})
        with contextlib.closing(sqlite3.connect(self.home.database_file, timeout=20)) as connection:
            table = "django_celery_beat_intervalschedule"
            (interval,) = connection.execute(f"SELECT max(id) FROM {table} WHERE every = ?", [seconds]).fetchone()
            sql = "SELECT id, name, args, kwargs FROM django_celery_beat_periodictask WHERE args = ?"
            id, name, args, kwargs = connection.execute(sql, [json.dumps([check])]).fetchone()
        fields = {"name": name, "task": "monitoring.run_check", "args": args, "kwargs": kwargs, "headers": "{}"}
        fields |= {"interval": str(interval), "enabled": "on", "expire_seconds": "10"}
        page = self.admin.post(f"/admin/django_celery_beat/periodictask/{id}/change/", fields)
        assert "was changed successfully" in page


def now() -> datetime:
    return datetime.now(UTC)


def time_of(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@pytest.fixture(scope="module", params=["folder", "redis"])
def watch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    home = Home(tmp_path_factory.mktemp(request.param) / "home")
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(receiving())
        variables = {**ports(), "TXSTORE_RESTART_S": str(AWAY_S), "TXSTORE_NOTIFY_URL": receiver.url}
        broker = {}
        if request.param == "redis":
            broker["TXSTORE_BROKER_URL"] = stack.enter_context(redis_server()).url
        up = Up(home, **variables, **broker)
        stack.callback(end, up)
        up.wait_ready()
        found = Watch(home, f"127.0.0.1:{variables['TXSTORE_WEB_PORT']}", receiver, broker)
        eventually(lambda: found.state() == "ok", READY_S)
        yield found
        refuse_bad_logs(home)


def end(up: Up) -> None:
    up.process.send_signal(signal.SIGTERM)
    try:
        up.process.wait(20)
    finally:
        up.process.kill()
        up.process.wait()


def stopped_without_a_lock(pid: int, home: Home) -> bool:
    """SIGSTOP, unless that would be in the middle of a transaction: whoever sleeps in one keeps all others out."""
    os.kill(pid, signal.SIGSTOP)
    with contextlib.closing(sqlite3.connect(home.database_file, timeout=1, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            return False
    return True


def refuse_bad_logs(home: Home) -> None:
    """Whatever happened: nobody failed, and nobody found the database locked."""
    for program in ("web", "worker", "beat"):
        text = home.log_file(program).read_text()
        assert "Traceback" not in text, text[-5_000:]
        assert "locked" not in text, text[-5_000:]


def test_a_killed_node_is_shown_in_time_and_its_return_too(watch):
    watch.receiver.statuses = [503]  # the first telling fails, and is made again
    killed_at, killed = now(), node_pid(watch.home, 2)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: watch.flips("node_answers", "n2", killed_at), SHOWN_S)
    assert watch.flips("node_answers", "n2", killed_at) == [("ok", "fail")]
    assert watch.state() == "fail"
    eventually(lambda: node_pid(watch.home, 2) not in (0, killed), READY_S)
    eventually(lambda: watch.flips("node_answers", "n2", killed_at)[-1] == ("fail", "ok"), READY_S)
    eventually(lambda: watch.state() == "ok", READY_S)
    eventually(lambda: watch.told("n2", killed_at) == [("ok", "fail"), ("ok", "fail"), ("fail", "ok")], READY_S)
    assert "node_answers n2: ok -> fail: n2 (127.0.0.1:" in watch.home.log_file("worker").read_text()


def test_checks_go_on_after_the_worker_was_killed(watch):
    killed_at, killed = now(), watch.pid_of("worker")
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: len(watch.results("node_answers", killed_at)) >= 3, READY_S)
    assert watch.pid_of("worker") not in (0, killed)
    seen = watch.results("node_answers", killed_at - timedelta(seconds=10))
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(seen)]
    assert max(gaps) < 25, gaps
    assert watch.flips("node_answers", "n1", killed_at) == []


def test_checks_go_on_after_beat_was_killed(watch):
    killed_at, killed = now(), watch.pid_of("beat")
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: watch.pid_of("beat") not in (0, killed), READY_S)
    began_at = now()
    eventually(lambda: len(watch.results("node_answers", began_at)) >= 2, READY_S)
    assert watch.flips("node_answers", "n1", killed_at) == []


def test_runs_that_waited_too_long_are_not_made_any_more(watch):
    worker = watch.pid_of("worker")
    eventually(lambda: stopped_without_a_lock(worker, watch.home), READY_S)
    try:
        slept_at = now()
        time.sleep(30)
    finally:
        woken_at = now()
        os.kill(worker, signal.SIGCONT)
    eventually(lambda: watch.results("node_answers", woken_at + timedelta(seconds=6)), READY_S)
    # Six came due while it slept. Those of the last ten seconds are made when it wakes.
    late = [at for at in watch.results("node_answers", slept_at) if at < woken_at + timedelta(seconds=4)]
    assert len(late) <= 4, late
    eventually(lambda: watch.state() == "ok", READY_S)


def test_an_interval_that_is_changed_in_the_admin_counts_at_once(watch):
    watch.set_interval("disk_space", 1)
    changed_at = now()
    eventually(lambda: len(watch.results("disk_space", changed_at)) >= 8, 16.0)
    watch.set_interval("disk_space", 5)


def test_the_canary_moves_its_rows_and_nothing_else(watch):
    began_at = now()
    eventually(lambda: len(watch.results("canary", began_at)) >= 2, READY_S)
    assert watch.door.rows("SELECT count(*), sum(turns) FROM monitoring_canary") == [[8, "0"]]
    moved = watch.door.rows("SELECT turns FROM monitoring_canary WHERE turns > 0")
    assert len(moved) == 1
    canary = checks(watch)["canary"]
    assert (canary["state"], canary["words"].count(" and ")) == ("ok", 1)


def test_a_self_check_that_could_not_be_made_is_told_and_the_good_one_of_a_command_too(watch):
    began_at = now()
    watch.manage("shell", "-c", ASK_NONSENSE)
    eventually(lambda: watch.told("bank", began_at, "self_check") == [("unknown", "warn")], READY_S)
    assert "seconds must be above 0" in checks(watch)["self_check"]["words"]
    watch.manage("selfcheck", "--seconds", "1", "--clients", "1")
    eventually(lambda: watch.told("bank", began_at, "self_check") == [("unknown", "warn"), ("warn", "ok")], READY_S)
    found = checks(watch)["self_check"]
    assert (found["state"], found["enabled"]) == ("ok", False)
    assert [subject["subject"] for subject in found["subjects"]] == sorted(WORKLOADS)


def test_worker_and_beat_are_lean(watch):
    for program in ("worker", "beat"):
        rollup = Path(f"/proc/{watch.pid_of(program)}/smaps_rollup").read_text()
        pss_mb = int(re.search(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)[1]) / 1000
        assert pss_mb < LEAN_MB, (program, pss_mb)


def test_health_has_every_node_and_group(watch):
    found = {name: [subject["subject"] for subject in check["subjects"]] for name, check in checks(watch).items()}
    assert found["node_answers"] == found["disk_space"] == found["clock_difference"] == ["n1", "n2", "n3"]
    assert found["group_leader"] == ["c1", "c2", "c3", "s0", "s1", "s2", "s3", "s4", "s5", "s6"]


def checks(watch: Watch) -> dict[str, Any]:
    return {check["check"]: check for check in watch.door.ask("GET", PATH).body["checks"]}
