"""Django's own database as programs meet it at their start: does it answer, is it migrated."""

from __future__ import annotations

import logging
import pkgutil
import time
from importlib import import_module
from importlib.util import find_spec

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.recorder import MigrationRecorder

from txstore.home import HomeError

POLL_S = 0.5

logger = logging.getLogger(__name__)


def refuse_unreachable() -> None:
    """HomeError, in words, when DATABASE_URL leads to no database that can be used. SQLite's file may not be there yet:
    nothing is asked of it."""
    if connection.vendor == "sqlite":
        return
    try:
        connection.ensure_connection()
    except (DatabaseError, InterfaceError) as error:
        raise HomeError(f"The database of DATABASE_URL cannot be used: {str(error).strip()}") from error


def let_go() -> None:
    """Close this thread's connection, and the pool if there is one."""
    connection.close()
    if getattr(connection, "pool", None):
        connection.close_pool()


def wait_until_migrated() -> None:
    """Return when every migration of every app is applied; says once what it waits for."""
    said = ""
    while waits_for := _unready():
        if waits_for != said:
            logger.warning("waiting for Django's database: %s", waits_for)
        said = waits_for
        time.sleep(POLL_S)
    connection.close()


def _unready() -> str:
    """What is missing, or "". The names of migrations are enough: loading all of them costs memory that stays."""
    try:
        applied = set(MigrationRecorder(connection).applied_migrations())
    except (DatabaseError, InterfaceError) as error:
        connection.close()
        return str(error).strip()
    missing = sorted(_on_disk() - applied)
    return f"{len(missing)} migrations are to be applied, the first {missing[0]}" if missing else ""


def _on_disk() -> set[tuple[str, str]]:
    found = set()
    for config in apps.get_app_configs():
        if find_spec(f"{config.name}.migrations"):
            package = import_module(f"{config.name}.migrations")
            found |= {(config.label, module.name) for module in pkgutil.iter_modules(package.__path__)}
    return found
