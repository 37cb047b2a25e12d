"""Django's own database at the start of a program: is it migrated, and who waits for it."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder

from txstore import database

pytestmark = pytest.mark.django_db


def test_a_migrated_database_is_ready_at_once():
    assert database._unready() == ""


def test_every_migration_that_is_missing_is_waited_for():
    recorder = MigrationRecorder.Migration.objects
    recorder.filter(app="monitoring").delete()
    assert "the first ('monitoring', '0001_initial')" in database._unready()


def test_who_waits_says_so_once_and_goes_on_when_it_is_there(monkeypatch, caplog):
    answers = ["no such table", "no such table", "2 migrations are to be applied", ""]
    monkeypatch.setattr(database, "_unready", lambda: answers.pop(0))
    monkeypatch.setattr(database, "POLL_S", 0.0)
    database.wait_until_migrated()
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "no such table",
        "2 migrations are to be applied",
    ]


def test_a_database_that_does_not_answer_is_waited_for(monkeypatch):
    def fail(_: object) -> None:
        raise OperationalError("connection refused\n")

    monkeypatch.setattr(MigrationRecorder, "applied_migrations", fail)
    assert database._unready() == "connection refused"
