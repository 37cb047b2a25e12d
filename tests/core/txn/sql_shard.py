"""A shard's leader that is asked in SQL: s1 as the only user shard, with the tables that it is made with."""

from __future__ import annotations

from nodes.core.locks import NAMES
from nodes.core.txn.messages import PREPARE, Execute
from nodes.sql import keys
from nodes.sql.ddl import DdlPlan
from nodes.sql.plan import plan
from nodes.sql.schema import CreateTable, Fragment, TableDef
from nodes.storage.sqlite import SqliteEngine
from tests.core.txn.scene import ShardReplica, execute
from tests.storage.bank import commits

LINES = "CREATE TABLE lines (a BIGINT, b INT, c TEXT, d INT NOT NULL, PRIMARY KEY (a, b, c))"
ROWS = """INSERT INTO lines VALUES (1, 1, 'x', 0), (1, 1, 'y', 0), (1, 2, 'x', 0), (1, 3, 'x', 9),
    (2, 1, 'x', 0), (2, 2, 'y', 0)"""


class SqlShard(ShardReplica):
    """It is its own catalog."""

    def __init__(self, create: str = LINES, rows: str = ROWS) -> None:
        self.tables: dict[str, TableDef] = {}
        self.version = 1
        made = plan(create, self)
        assert isinstance(made, DdlPlan), "a CREATE TABLE"
        assert isinstance(made.ddl, CreateTable), "a CREATE TABLE"
        self.table_def = made.ddl.table
        self.tables[self.table_def.name] = self.table_def
        self.version = made.ddl.version
        engine = SqliteEngine(None)
        engine.begin()
        engine.define(made.ddl, 1)
        engine.advance(1, 1)
        engine.commit()
        commits(engine, 2, self.fragment(rows))
        super().__init__(engine)

    def table(self, name: str) -> TableDef | None:
        return self.tables.get(name)

    def fragment(self, sql: str, shard: int = 1, number: int = 0) -> Fragment:
        return plan(sql, self).bind(number, [], 1).fragments[shard]

    def ask(self, txn: bytes, *sql: str, finish: int = PREPARE, timeout_ms: int = 10_000) -> None:
        """A transaction of these statements, under locks."""
        fragments = [self.fragment(one, number=number) for number, one in enumerate(sql)]
        message: Execute = execute(txn, *fragments, finish=finish, timeout_ms=timeout_ms)
        self.receive(message)

    def held(self, txn: bytes) -> str:
        """What it holds, in the order of keys: `IX, SIX 1, IX 1 2, X 1 2 x`."""
        types = [self.table_def.columns[i].type for i in self.table_def.primary_key]
        found = []
        for (_, key), mode in sorted(self.locks.held_by(txn).items()):
            values = [str(value) for value in keys.decode(types, key)]
            found.append(" ".join([NAMES[mode], *values]))
        return ", ".join(found)
