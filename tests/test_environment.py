"""Database, broker and webhook, as the environment names them; nothing is opened here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from txstore import environment
from txstore.home import PROJECT, Home

SECRET = "hush-hush"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def database(home: Home, url: str) -> dict[str, Any]:
    return environment.database({"DATABASE_URL": url}, home)


@pytest.mark.parametrize("variables", [{}, {"DATABASE_URL": "", "TXSTORE_BROKER_URL": "", "TXSTORE_NOTIFY_URL": ""}])
def test_without_a_variable_everything_lies_in_the_home(home, variables):
    assert environment.database(variables, home)["NAME"] == home.database_file
    broker = environment.broker(variables, home)
    assert broker["transport_options"]["data_folder_in"] == str(home.broker / "queue")
    assert environment.notify_url(variables) == ""


def test_several_processes_may_write_the_file_of_sqlite(home):
    options = environment.database({}, home)["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert options["timeout"] >= 20


def test_a_database_url_is_taken_apart(home):
    found = database(home, "postgres://django:p%40ss@db.example:5433/front?sslmode=require")
    assert found["ENGINE"] == "django.db.backends.postgresql"
    assert [found[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")] == [
        "django", "p@ss", "db.example", 5433, "front",
    ]  # fmt: skip
    assert found["OPTIONS"] == {"connect_timeout": 5, "sslmode": "require"}


def test_the_pool_is_optional(home):
    assert database(home, "postgresql://h/d?pool=true")["OPTIONS"]["pool"]["max_size"] == environment.POOL_SIZE_MAX
    assert "pool" not in database(home, "postgresql://h/d?pool=false")["OPTIONS"]
    assert database(home, "postgresql://h/d?conn_max_age=60")["CONN_MAX_AGE"] == 60


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"mysql://django:{SECRET}@h/d", "must have the form postgres://"),
        (f"sqlite:///{SECRET}", "must have the form"),
        ("nonsense", "must have the form"),
        ("postgres://", "must have the form"),
        ("postgres://h/", "names no database"),
        (f"postgres://django:{SECRET}@h:port/d", "cannot be read"),
        (f"postgres://django:{SECRET}@h:99999/d", "cannot be read"),
        (f"postgres://django:{SECRET}@[h/d", "cannot be read"),
        ("postgres://h/d?pool=perhaps", "pool in DATABASE_URL is true or false"),
        ("postgres://h/d?pool=true&conn_max_age=60", "pool and conn_max_age"),
    ],
)
def test_a_database_url_that_does_not_fit_is_refused_in_words(home, url, words):
    with pytest.raises(ImproperlyConfigured, match=f"DATABASE_URL.*{words}|{words}") as refused:
        database(home, url)
    assert SECRET not in str(refused.value)


def test_redis_is_one_setting(home):
    assert environment.broker({"TXSTORE_BROKER_URL": "redis://h:6379/1"}, home)["url"] == "redis://h:6379/1"


@pytest.mark.parametrize("url", ["amqp://h", "filesystem://", "redis://", "6379", "redis://h:x/0"])
def test_a_broker_that_is_not_known_is_refused(home, url):
    with pytest.raises(ImproperlyConfigured, match="TXSTORE_BROKER_URL"):
        environment.broker({"TXSTORE_BROKER_URL": url}, home)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/", "example.org/hook", "https://"])
def test_an_address_that_cannot_be_posted_to_is_refused(url):
    with pytest.raises(ImproperlyConfigured, match="TXSTORE_NOTIFY_URL"):
        environment.notify_url({"TXSTORE_NOTIFY_URL": url})
    assert environment.notify_url({"TXSTORE_NOTIFY_URL": "https://h/hook"}) == "https://h/hook"


@pytest.mark.parametrize(
    "wrong",
    [
        {"DATABASE_URL": "mysql://h/d"},
        {"DATABASE_URL": f"postgres://django:{SECRET}@127.0.0.1:1/d"},
        {"DATABASE_URL": "postgres://127.0.0.1:1/d?pool=true"},
        {"DATABASE_URL": "postgres://127.0.0.1:1/d?no_such_option=1"},
        {"TXSTORE_BROKER_URL": "amqp://h"},
        {"TXSTORE_NOTIFY_URL": "mailto:somebody"},
    ],
)
def test_up_refuses_with_2_and_one_message_and_changes_nothing(home, wrong):
    command = [sys.executable, str(PROJECT / "manage.py"), "up"]
    variables = {**os.environ, "TXSTORE_HOME": str(home.path), "TXSTORE_WEB_PORT": "18999", **wrong}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert next(iter(wrong)) in ended.stderr
    assert SECRET not in ended.stderr
    assert not home.path.exists()


def test_addresses_of_nodes_are_names_or_numbers_with_a_port():
    environment.refuse_addresses([])
    environment.refuse_addresses(["n1:7101", "10.0.0.1:1", "[::1]:65535"])


@pytest.mark.parametrize("address", ["n1", ":7101", "n1:", "n1:port", "n1:0", "n1:65536"])
def test_an_address_that_is_none_is_refused_and_named(address):
    with pytest.raises(ImproperlyConfigured, match="TXSTORE_NODES_AT"):
        environment.refuse_addresses(["n1:7101", address])
