"""Django's own database with real processes: SQLite's one file written by many, and a PostgreSQL 15."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.e2e.admin import AdminDoor
from tests.e2e.cluster import ROOT
from tests.e2e.redis import redis_server
from tests.e2e.rest import Door
from tests.e2e.test_checks import end, refuse_bad_logs
from tests.e2e.test_supervisor import eventually
from tests.e2e.test_up import READY_S, Up, ports
from txstore.home import Home

# What web, worker and beat do to the file, without pauses: a run of each check, sessions, the schedule, thinning.
WRITER = """
import sys, time, uuid
import django
django.setup()
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from monitoring.record import Run, record, thin
from monitoring.rules import CHECKS
from monitoring.verdicts import STATES, Sample

ends_at, turn = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < ends_at:
    turn += 1
    for check in CHECKS:
        samples = [Sample(f"n{node}", STATES[(turn + node) % 4], f"turn {turn}", turn) for node in range(3)]
        record(Run(uuid.uuid4().hex, check, timezone.now(), 1), samples, 1)
    session = SessionStore()
    session["turn"] = turn
    session.save()
    PeriodicTask.objects.get(name="Check: canary").save()
    thin(timezone.now())
print("turns", turn)
"""


def environment(home: Home, **variables: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "txstore.settings",
        "TXSTORE_HOME": str(home.path),
        **variables,
    }


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL as a URL that DATABASE_URL takes."""
    found = dict(part.split("=") for part in request.getfixturevalue("postgres").split())
    return f"postgres://{found['user']}@{found['host']}:{found['port']}/{found['dbname']}"


def database(url: str, name: str) -> str:
    """A new database on that server."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.rpartition("/")[0] + f"/{name}"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_many_processes_write_one_database_and_none_finds_it_locked(url, tmp_path, kind):
    known = environment(Home(tmp_path), DATABASE_URL=database(url, "busy") if kind == "postgres" else "")
    migrate(known)
    command = [sys.executable, "-c", WRITER, "10"]
    writers = [subprocess.Popen(command, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(4)]
    said = [writer.communicate(timeout=120)[0].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, said
    # Nobody was starved either.
    assert min(int(re.search(r"turns (\d+)", words)[1]) for words in said) >= 3, said


def migrate(known: dict[str, str]) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity", "0"]
    subprocess.run(command, env=known, check=True, timeout=120)


def cut_off(url: str, name: str, seconds: float) -> None:
    """End every connection to a database, and refuse new ones for a while: what a restart of the server looks like."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        time.sleep(seconds)
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.mark.parametrize("pool", ["false", "true"])
def test_up_keeps_everything_of_django_in_postgresql(url, tmp_path, pool):
    home, mine = Home(tmp_path / "home"), database(url, f"front_{pool}")
    variables = ports()
    up = Up(home, **variables, DATABASE_URL=f"{mine}?pool={pool}")
    try:
        up.wait_ready()
        address = f"127.0.0.1:{variables['TXSTORE_WEB_PORT']}"
        door, admin = Door(address, home.api_token()), AdminDoor(address)
        eventually(lambda: door.ask("GET", "/api/v1/health").body["state"] == "ok", READY_S)
        admin.log_in(home.admin_password())
        assert "n1 answers" in admin.get("/admin/monitoring/standing/")
        with psycopg.connect(mine) as connection:
            checks = connection.execute("SELECT DISTINCT check_name FROM monitoring_checkresult").fetchall()
            users = connection.execute("SELECT username FROM auth_user").fetchall()
        assert (len(checks), users) == (7, [("admin",)])
        assert not home.database_file.exists()
        refuse_bad_logs(home)
        cut_off(url, f"front_{pool}", seconds=8.0)
        with psycopg.connect(mine, autocommit=True) as connection:
            count = "SELECT count(*) FROM monitoring_checkresult"
            before = connection.execute(count).fetchone()[0]
            eventually(lambda: connection.execute(count).fetchone()[0] >= before + 14, READY_S)
        assert up.process.poll() is None
        assert "n1 answers" in admin.get("/admin/monitoring/standing/")
    finally:
        end(up)


@contextmanager
def worker_and_beat(known: dict[str, str], folder: Path) -> Iterator[dict[str, Path]]:
    """Both, started alone; gives their logs. Neither may have ended by itself."""
    celery = [sys.executable, "-m", "celery", "--app", "txstore.celery"]
    programs = {"worker": [*celery, "worker", "--pool=threads"], "beat": [*celery, "beat", "--pidfile="]}
    logs = {name: folder / name for name in programs}
    running = [start(command, known, logs[name]) for name, command in programs.items()]
    try:
        yield logs
        assert all(process.poll() is None for process in running)
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_worker_and_beat_wait_for_the_migration_and_then_go_on(url, tmp_path):
    home, mine = Home(tmp_path / "home"), database(url, "late")
    (home.broker / "queue").mkdir(parents=True)
    (home.broker / "control").mkdir()
    known = environment(home, DATABASE_URL=mine)
    with worker_and_beat(known, tmp_path) as logs:
        for log in logs.values():
            eventually(lambda log=log: "waiting for Django's database" in log.read_text(), READY_S)
        migrate(known)
        with psycopg.connect(mine, autocommit=True) as connection:
            count = "SELECT count(*) FROM monitoring_checkresult"
            eventually(lambda: connection.execute(count).fetchone()[0] >= 6, READY_S)
        assert not any("Traceback" in log.read_text() for log in logs.values())


def test_checks_go_on_when_redis_was_away(url, tmp_path):
    mine = database(url, "without_redis")
    with redis_server() as redis, psycopg.connect(mine, autocommit=True) as connection:
        known = environment(Home(tmp_path / "home"), DATABASE_URL=mine, TXSTORE_BROKER_URL=redis.url)
        migrate(known)

        def results() -> int:
            return int(connection.execute("SELECT count(*) FROM monitoring_checkresult").fetchone()[0])

        with worker_and_beat(known, tmp_path):
            eventually(lambda: results() >= 6, READY_S)
            redis.kill()
            time.sleep(8)
            redis.start()
            before = results()
            eventually(lambda: results() >= before + 12, READY_S)


def start(command: list[str], known: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(command, env=known, stdout=file, stderr=file, cwd=ROOT)


def test_what_is_tested_of_the_watch_holds_on_postgresql_too(url):
    tests = [str(ROOT / "tests" / name) for name in ("monitoring", "api/test_health.py", "test_database.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    ended = subprocess.run(
        command,
        env={**os.environ, "DATABASE_URL": url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-5_000:]
