"""Plans: what a statement asks of which shard, worked out once per text and catalog version (DESIGN.md §6).

The statements that there are: CREATE TABLE, ALTER TABLE ADD COLUMN, DROP TABLE, INSERT of VALUES, UPDATE, DELETE,
SELECT from one table or none. Each is answered as PostgreSQL 15 would answer it, or refused with 0A000 and a name for
what is missing.
*Invariants*: a plan holds no syntax tree; it names the version of the table it was made for.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from sqlglot import exp

from nodes.errors import BadRequest, NotSupported, StoreError
from nodes.sql import aggregates, calls, casts, operators, precedence
from nodes.sql.binding import Bound, Merge, Plan
from nodes.sql.ddl import SYSTEM_TABLE, DdlPlan, plan_alter, plan_create, plan_drop
from nodes.sql.expressions import only
from nodes.sql.inserts import plan_insert
from nodes.sql.names import identifier
from nodes.sql.parse import Parsed, parse
from nodes.sql.schema import TableDef
from nodes.sql.select import plan_select
from nodes.sql.targets import table_name
from nodes.sql.typed import mismatch
from nodes.sql.writes import plan_delete, plan_update

__all__ = ["SYSTEM_TABLES", "Bound", "Catalog", "Merge", "Plan", "PlanCache", "is_well_formed", "plan"]

SYSTEM_TABLES = (SYSTEM_TABLE,)

# Importing these made the whole language of expressions known.
_LANGUAGE = (operators, casts, calls, aggregates)


class Catalog(Protocol):
    """The tables as of a version, which every DDL raises."""

    version: int

    def table(self, name: str) -> TableDef | None: ...


def plan(statement_sql: str, catalog: Catalog, pushdown: bool = True) -> Plan:
    """The plan of one statement; BadRequest and its subclasses. Costs the parsing: about a millisecond."""
    try:
        parsed = parse(statement_sql)
        precedence.check(parsed.tree)
        return _plan(parsed, catalog, pushdown)
    except RecursionError as error:
        raise BadRequest("the statement nests too deep", sqlstate="54001") from error


def is_well_formed(statement_sql: str) -> bool:
    """Is what is wrong with it, if anything, for the catalog to say? Costs the parsing."""
    try:
        precedence.check(parse(statement_sql).tree)
    except (StoreError, RecursionError):
        return False
    return True


def _plan(parsed: Parsed, catalog: Catalog, pushdown: bool) -> Plan:
    node = parsed.tree
    if isinstance(node, exp.Select):
        return _select(parsed, node, catalog, pushdown)
    if isinstance(node, exp.Insert):
        return _insert(parsed, node, catalog)
    if isinstance(node, exp.Update):
        table, name = _written_table(node.this, catalog)
        return plan_update(parsed, node, table, name)
    if isinstance(node, exp.Delete):
        table, name = _written_table(node.this, catalog)
        return plan_delete(parsed, node, table, name)
    if isinstance(node, exp.Create):
        return _create(parsed, node, catalog)
    if isinstance(node, exp.Alter):
        return _alter(parsed, node, catalog)
    if isinstance(node, exp.Drop):
        return _drop(node, catalog)
    word = str(node.this) if isinstance(node, exp.Command) else type(node).__name__
    raise NotSupported(f"{word.upper()} in this form")


def _system_table(name: str) -> TableDef | None:
    return next((table for table in SYSTEM_TABLES if table.name == name), None)


def _find(name: str, catalog: Catalog) -> TableDef:
    found = _system_table(name) or catalog.table(name)
    if found is None:
        raise mismatch("42P01", f'relation "{name}" does not exist')
    return found


def _written_table(node: exp.Expr, catalog: Catalog) -> tuple[TableDef, str]:
    name, alias = table_name(node)
    if _system_table(name) is not None:
        raise BadRequest(f"permission denied for table {name}", sqlstate="42501")
    return _find(name, catalog), alias


def _select(parsed: Parsed, node: exp.Select, catalog: Catalog, pushdown: bool) -> Plan:
    source = node.args.get("from_")
    if node.args.get("joins"):
        raise NotSupported("JOIN")
    if source is None:
        return plan_select(parsed, node, None, "", False, pushdown)
    only(source, "this")
    name, alias = table_name(source.this)
    if parsed.locking is not None:
        _written_table(source.this, catalog)  # which refuses those that no user writes
    return plan_select(parsed, node, _find(name, catalog), alias, _system_table(name) is not None, pushdown)


def _insert(parsed: Parsed, node: exp.Insert, catalog: Catalog) -> Plan:
    target = node.this
    columns: list[exp.Expr] = []
    if isinstance(target, exp.Schema):
        only(target, "this", "expressions")
        columns = target.expressions
        target = target.this
    if node.args.get("expression") is None:
        raise NotSupported("INSERT without VALUES")
    table, name = _written_table(target, catalog)
    return plan_insert(parsed, node, table, name, columns)


def _create(parsed: Parsed, node: exp.Create, catalog: Catalog) -> DdlPlan:
    only(node, "this", "kind", "exists")
    if str(node.args.get("kind")).upper() != "TABLE" or not isinstance(node.this, exp.Schema):
        raise NotSupported("CREATE of this kind")
    name = _ddl_name(node.this.this)
    if name.lower().startswith("txstore_") or _is_physical(name):
        raise BadRequest(f'the table name "{name}" is reserved', sqlstate="42939")
    if catalog.table(name) is None:
        return plan_create(parsed, node, name, catalog.version)
    if node.args.get("exists"):
        return DdlPlan(catalog.version, name, None)
    raise BadRequest(f'relation "{name}" already exists', sqlstate="42P07")


def _alter(parsed: Parsed, node: exp.Alter, catalog: Catalog) -> DdlPlan:
    if str(node.args.get("kind")).upper() != "TABLE":
        raise NotSupported("ALTER of this kind")
    name = _ddl_name(node.this)
    if node.args.get("exists") and _system_table(name) is None and catalog.table(name) is None:
        return DdlPlan(catalog.version, name, None)
    table, _ = _written_table(node.this, catalog)
    return plan_alter(parsed, node, table, catalog.version)


def _drop(node: exp.Drop, catalog: Catalog) -> DdlPlan:
    if str(node.args.get("kind")).upper() != "TABLE":
        raise NotSupported("DROP of this kind")
    if len(node.args["tables"]) != 1:
        raise NotSupported("DROP TABLE of several tables")
    (target,) = node.args["tables"]
    name = _ddl_name(target)
    if _system_table(name) is not None:
        raise BadRequest(f"permission denied for table {name}", sqlstate="42501")
    table = catalog.table(name)
    if table is None and not node.args.get("exists"):
        raise mismatch("42P01", f'table "{name}" does not exist')
    return plan_drop(node, table, name, catalog.version)


def _ddl_name(node: exp.Expr) -> str:
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise NotSupported("a table of this name")
    only(node, "this")
    return identifier(node.name, bool(node.this.args.get("quoted")))


def _is_physical(name: str) -> bool:
    """Is it, or does it begin, as engines call their tables: t12_3?"""
    head, underscore, _ = name.partition("_")
    return bool(underscore) and head[:1] in "tT" and head[1:].isdigit()


class PlanCache:
    """Plans by text and catalog version; the least recently used go first. Errors are not kept."""

    def __init__(self, size: int = 2_000) -> None:
        self._size = size
        self._plans: OrderedDict[tuple[str, int], Plan] = OrderedDict()

    def get(self, sql: str, catalog: Catalog) -> Plan:
        """The plan of `sql`, from the cache or made now; StoreError as `plan`."""
        key = (sql, catalog.version)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = plan(sql, catalog)
            if len(self._plans) > self._size:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return found
