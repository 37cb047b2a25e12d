"""What the environment says about the services that Django and Celery use: database, broker, webhook. Pure.

*Invariants*: a variable that is not set, or empty, means the embedded default, which needs no server; one that does not
fit raises ImproperlyConfigured, naming it, before anything is opened. What may hold a password is never repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

from txstore.home import Home

POSTGRES_SCHEMES = ("postgres", "postgresql")
REDIS_SCHEMES = ("redis", "rediss")
CONNECT_S = 5
SQLITE_PATIENCE_S = 20
POOL_SIZE_MAX = 16


def database(environment: Mapping[str, str], home: Home) -> dict[str, Any]:
    """Django's own database: SQLite in the home, or the PostgreSQL that DATABASE_URL names."""
    url = environment.get("DATABASE_URL") or ""
    if not url:
        # Several processes write the file. Whoever means to write says so at the beginning (IMMEDIATE) and waits.
        options = {"transaction_mode": "IMMEDIATE", "timeout": SQLITE_PATIENCE_S}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": home.database_file, "OPTIONS": options}
    _refuse_scheme("DATABASE_URL", url, POSTGRES_SCHEMES, "postgres://USER:PASSWORD@HOST:PORT/NAME")
    try:
        config: dict[str, Any] = Env.db_url_config(url)
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {error}.") from error
    if not config["NAME"]:
        raise ImproperlyConfigured("DATABASE_URL names no database: postgres://USER:PASSWORD@HOST:PORT/NAME.")
    options = {"connect_timeout": CONNECT_S, **config.get("OPTIONS", {})}
    return {**config, "OPTIONS": _with_pool(options, config), "CONN_HEALTH_CHECKS": True}


def _with_pool(options: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """`?pool=true` becomes a pool of connections for the threads of each process."""
    wish = str(options.pop("pool", "false")).lower()
    if wish not in ("true", "false"):
        raise ImproperlyConfigured("pool in DATABASE_URL is true or false.")
    if wish == "false":
        return options
    if config.get("CONN_MAX_AGE"):
        raise ImproperlyConfigured("DATABASE_URL has pool and conn_max_age: a pool keeps connections by itself.")
    return {**options, "pool": {"min_size": 1, "max_size": POOL_SIZE_MAX, "timeout": CONNECT_S}}


def broker(environment: Mapping[str, str], home: Home) -> dict[str, Any]:
    """Celery's broker: a folder of the home, or the Redis that TXSTORE_BROKER_URL names."""
    url = environment.get("TXSTORE_BROKER_URL") or ""
    if not url:
        folders = {
            "data_folder_in": str(home.broker / "queue"),
            "data_folder_out": str(home.broker / "queue"),
            "control_folder": str(home.broker / "control"),
            "polling_interval": 0.2,
        }
        return {
            "url": "filesystem://localhost",
            "transport": "txstore.folder_broker:Transport",
            "transport_options": folders,
        }
    _refuse_scheme("TXSTORE_BROKER_URL", url, REDIS_SCHEMES, "redis://HOST:PORT/NUMBER")
    patience = {"socket_connect_timeout": CONNECT_S, "socket_keepalive": True, "health_check_interval": 10}
    return {"url": url, "transport_options": patience}


def refuse_addresses(addresses: Sequence[str]) -> None:
    """ImproperlyConfigured unless each is `host:port`."""
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ImproperlyConfigured(f"TXSTORE_NODES_AT names {address!r}, which is not HOST:PORT.")


def notify_url(environment: Mapping[str, str]) -> str:
    """Where flips are told; "" for nowhere."""
    url = environment.get("TXSTORE_NOTIFY_URL") or ""
    if url:
        _refuse_scheme("TXSTORE_NOTIFY_URL", url, ("http", "https"), "https://HOST/PATH")
    return url


def _refuse_scheme(name: str, url: str, schemes: tuple[str, ...], form: str) -> None:
    try:
        parts = urlsplit(url)
        has_host, _ = bool(parts.hostname or parts.path.strip("/")), parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} cannot be read: {error}.") from error
    if parts.scheme not in schemes or not has_host:
        raise ImproperlyConfigured(f"{name} must have the form {form}.")
