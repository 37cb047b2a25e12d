"""Fixtures of the SQL tests."""

from __future__ import annotations

import pytest

from tests.sql.store import Store


@pytest.fixture
def bank() -> Store:
    """Accounts 1 to 9 with 100 each, over three shards."""
    store = Store()
    store.execute(
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner TEXT NOT NULL DEFAULT 'nobody', "
        "balance BIGINT NOT NULL DEFAULT 100, open BOOLEAN DEFAULT true, CHECK (balance >= 0))"
    )
    for number in range(1, 10):
        store.execute("INSERT INTO accounts (id, owner) VALUES ($1, $2)", [number, f"owner {number}"])
    return store
