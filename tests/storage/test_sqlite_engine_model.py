"""Random transactions on two SQLite engines against a dict that keeps every version of everything."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.sql.schema import Fragment, Image
from nodes.storage.sqlite import SqliteEngine
from tests.storage.bank import apply, history, opened, reads, rows_at, rows_now, writes

Accounts = dict[int, int]
Step = tuple[Fragment, Callable[[Accounts], Accounts | None]]  # None: a violation

ids = st.integers(1, 6)
amounts = st.integers(-40, 60)
images_type = list[Image]


def insert(pairs: list[tuple[int, int]]) -> Step:
    values = ", ".join(f"(?{2 * at + 1}, ?{2 * at + 2})" for at in range(len(pairs)))
    sql = f"INSERT INTO t2_1 (id, balance) VALUES {values}"

    def model(accounts: Accounts) -> Accounts | None:
        for account, balance in pairs:
            if balance < 0 or account in accounts:
                return None
            accounts[account] = balance
        return accounts

    return writes(sql, *[value for pair in pairs for value in pair]), model


def replace(account: int, balance: int) -> Step:
    def model(accounts: Accounts) -> Accounts | None:
        return {**accounts, account: balance} if balance >= 0 else None

    return writes("INSERT OR REPLACE INTO t2_1 (id, balance) VALUES (?1, ?2)", account, balance), model


def move_money(low: int, amount: int) -> Step:
    def model(accounts: Accounts) -> Accounts | None:
        moved = {account: balance + amount * (account >= low) for account, balance in accounts.items()}
        return moved if all(balance >= 0 for balance in moved.values()) else None

    return writes("UPDATE t2_1 SET balance = balance + ?2 WHERE id >= ?1", low, amount), model


def rename(old: int, new: int) -> Step:
    def model(accounts: Accounts) -> Accounts | None:
        if old in accounts and old != new and new in accounts:
            return None
        return {new if account == old else account: balance for account, balance in accounts.items()}

    return writes("UPDATE t2_1 SET id = ?2 WHERE id = ?1", old, new), model


def overrun(old: int, new: int) -> Step:
    def model(accounts: Accounts) -> Accounts | None:
        if old not in accounts:
            return accounts
        rest = {account: balance for account, balance in accounts.items() if account not in (old, new)}
        return {**rest, new: accounts[old]}

    return writes("UPDATE OR REPLACE t2_1 SET id = ?2 WHERE id = ?1", old, new), model


def delete(low: int, high: int) -> Step:
    def model(accounts: Accounts) -> Accounts | None:
        return {account: balance for account, balance in accounts.items() if not low <= account <= high}

    return writes("DELETE FROM t2_1 WHERE id BETWEEN ?1 AND ?2", low, high), model


steps = st.one_of(
    st.builds(insert, st.lists(st.tuples(ids, amounts), min_size=1, max_size=3)),
    st.builds(replace, ids, amounts),
    st.builds(move_money, ids, amounts),
    st.builds(rename, ids, ids),
    st.builds(overrun, ids, ids),
    st.builds(delete, ids, ids),
)
transactions = st.lists(st.lists(steps, min_size=1, max_size=5), min_size=1, max_size=8)


def check_images(images: list[Image], before: dict[int, int], accounts: Accounts) -> None:
    """Each version named was there, none is named twice, and what is written is what the model has."""
    named = [(image.old_key[0], image.old_ts) for image in images if image.old_key is not None]
    assert len(set(named)) == len(named)
    assert all(before[key] == ts for key, ts in named)
    written = {image.row[0]: image.row[1] for image in images if image.row is not None}
    assert written.items() <= accounts.items()
    assert set(accounts) - set(written) <= set(before) - {key for key, _ in named}


def check_history(engine: SqliteEngine) -> None:
    """Intervals are not empty and do not overlap, the current version included."""
    ends: dict[int, int] = {}
    current = [[*row, 1 << 62] for row in rows_now(engine)]
    for account, _, _, start, end in sorted(history(engine) + current, key=lambda row: (row[0], row[3])):
        assert ends.get(account, 0) <= start < end
        ends[account] = end


@settings(max_examples=120, deadline=None)
@given(transactions, st.data())
def test_every_snapshot_is_what_the_model_was_at_that_time(
    history_of_steps: list[list[Step]], data: st.DataObject
) -> None:
    leader, follower = opened(SqliteEngine(None)), opened(SqliteEngine(None))
    versions: list[tuple[int, Accounts]] = [(0, {})]
    ts = 10
    for transaction in history_of_steps:
        before = {row[0]: row[3] for row in rows_now(leader)}
        evaluation = leader.evaluate([fragment for fragment, _ in transaction], 0)
        accounts: Accounts | None = dict(versions[-1][1])
        for _, model in transaction:
            accounts = None if accounts is None else model(accounts)
        assert {row[0]: row[3] for row in rows_now(leader)} == before
        if accounts is None:
            assert evaluation.error is not None
            assert evaluation.error.sqlstate in ("23505", "23514")
            continue
        assert evaluation.error is None
        check_images(evaluation.images, before, accounts)
        ts += data.draw(st.integers(1, 3))
        entry = msgspec.msgpack.encode(evaluation.images)
        for engine in (leader, follower):
            apply(engine, msgspec.msgpack.decode(entry, type=images_type), ts)
        versions.append((ts, accounts))
    for at in range(ts + 2):
        expected = next(accounts for since, accounts in reversed(versions) if since <= at)
        for engine in (leader, follower):
            assert rows_at(engine, at) == [[account, balance, None] for account, balance in sorted(expected.items())]
    assert rows_now(leader) == rows_now(follower)
    assert history(leader) == history(follower)
    check_history(leader)
    assert leader.evaluate([reads("SELECT count(*) FROM t2_1")], 0).rows[0].rows == [[len(versions[-1][1])]]
    leader.close()
    follower.close()
