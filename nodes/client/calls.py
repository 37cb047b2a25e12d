"""Everything that a program can ask of the store, written once, as coroutines.

`nodes.client.aio.Cluster` is this class; `nodes.client.Cluster` has each of its methods as a blocking one. Every call
answers within its time-out or raises a class of `nodes.errors`, whose `info.outcome` says whether it happened.

It decides nothing itself: requests go to `submission`, interactive transactions to `interactive`, questions to
`questions`, connections to `pool`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar
from uuid import UUID

from nodes import ids
from nodes.client.exchange import Answer
from nodes.client.interactive import Interactive, retried
from nodes.client.pool import Limits, Pool
from nodes.client.questions import Question, ask, ask_fate
from nodes.client.statements import Params, Rows, Steps, listed, statement
from nodes.client.submission import Submission
from nodes.client.surroundings import Address, Surroundings
from nodes.errors import BadRequest, NotFound, ResultsLost
from nodes.requests import (
    NEWEST,
    Fate,
    Leadership,
    Nodes,
    Reply,
    Request,
    Result,
    Shard,
    Statement,
    Table,
    Trace,
    Transactions,
)
from nodes.wire.protocol import (
    AskShards,
    AskStatus,
    AskTables,
    AskTrace,
    AskTransactions,
    ChangeNodes,
    LeadershipIs,
    NodesAre,
    ShardsAre,
    StatusIs,
    TablesAre,
    TraceIs,
    TransactionsAre,
    TransferLeader,
)

TABLES_A_QUESTION = 500

T = TypeVar("T")
Past = str | int | datetime | timedelta
Age = float | timedelta


class Calls:
    """A client of one cluster; `timeout` in seconds, for each call that is given none itself."""

    _surroundings: type[Surroundings]  # of the form, for a client that is given none

    def __init__(self, pool: Pool, timeout: float) -> None:
        if not 0 < timeout < math.inf:
            raise ValueError(f"a timeout is a number of seconds above 0, not {timeout}")
        self._pool = pool
        self._timeout = timeout

    @classmethod
    def connect(
        cls,
        addresses: str,
        *,
        secret: bytes | str,
        timeout: float = 10.0,
        max_connections: int = 64,
        idle_timeout: float = 60.0,
        connect_timeout: float = 1.0,
        surroundings: Surroundings | None = None,
    ) -> Self:
        """A client of the nodes at `"host:port,host:port"`; no connection is opened yet. ValueError for addresses of
        another form, an empty secret, and bounds that are not above 0.

        `timeout`: seconds for each call that is given none itself. Of each node at most `max_connections` connections
        are open; a call that finds none free waits for one. An idle connection is kept for `idle_timeout` seconds. A
        node that does not answer within `connect_timeout` seconds is passed over."""
        key = secret.encode() if isinstance(secret, str) else secret
        if not key:
            raise ValueError("the cluster secret must not be empty")
        nodes = [_address(part.strip()) for part in addresses.split(",")]
        limits = Limits(max_connections, idle_timeout, connect_timeout)
        return cls(Pool(nodes, key, surroundings or cls._surroundings(), limits), timeout)

    async def close(self) -> None:
        """Close the idle connections; later calls are Unavailable."""
        self._pool.close()

    async def submit(self, request: Request) -> Reply:
        """Run a one-shot request within its own `timeout_ms`. OutcomeUnknown only if its fate could not be learnt."""
        return await Submission(self._pool, request).run()

    async def execute(
        self,
        sql: str,
        params: Params = (),
        expect_rows: int = -1,
        timeout: float | None = None,
        idempotency_key: str | UUID = "",
    ) -> Result:
        """One statement, one transaction. ResultsLost if it is committed and its answer was lost. Under an
        `idempotency_key` it happens at most once, whoever asks for it again, and gives the same result."""
        request = self._request([statement(sql, params, expect_rows)], timeout, idempotency_key)
        return _only_result(await self.submit(request))

    async def execute_many(
        self,
        statements: Steps,
        expect_rows: int = -1,
        timeout: float | None = None,
        idempotency_key: str | UUID = "",
        as_of: Past = "",
        max_staleness: Age = 0,
        session_token: int = 0,
    ) -> Reply:
        """Several statements, one transaction, one round trip. `expect_rows` holds for each that states none itself.
        Under an `idempotency_key` they happen at most once; `repeated` tells that an earlier call had done it. `as_of`
        and `max_staleness`, of SELECTs alone, and `session_token`: as in `query`."""
        steps = listed(statements, expect_rows)
        return await self.submit(
            self._request(steps, timeout, idempotency_key, as_of, _staleness_ms(max_staleness), session_token)
        )

    async def query(
        self,
        sql: str,
        params: Params = (),
        timeout: float | None = None,
        as_of: Past = "",
        max_staleness: Age = 0,
        session_token: int = 0,
    ) -> Rows:
        """A SELECT on a snapshot; gives its rows. Of now, or `as_of` a past: a timestamp that a reply named, an aware
        time, or how long ago ("-5s", or a timedelta). SnapshotTooOld when that is not kept any more.

        `max_staleness`, in seconds or a timedelta: it may be so old, and replicas near by answer where they can; 0: it
        is not. `session_token`: that of a reply, or of rows; all that it had seen and done is seen."""
        request = self._request(
            [statement(sql, params)], timeout, "", as_of, _staleness_ms(max_staleness), session_token
        )
        request.read_only = True
        reply = await self.submit(request)
        return Rows(_only_result(reply), reply.session_token)

    def transaction(self, timeout: float | None = None, age: str = "") -> Interactive:
        """An interactive transaction, for `with`, which begins it and commits it at the end. `timeout` holds for each
        call in it. `age` is what the error of a lost transaction named (`info.detail["age"]`): the new one keeps the
        place of that one."""
        seconds = self._seconds(timeout)
        return Interactive(self._pool, lambda: seconds, age)

    def opened(self, id: str, timeout: float | None = None) -> Interactive:
        """The interactive transaction of that id, which another client may have begun. What is asked in it is not
        numbered: a statement whose answer is lost is Unavailable, and it may have been done. NotFound for what is no
        id."""
        seconds = self._seconds(timeout)
        return Interactive(self._pool, lambda: seconds, id=_checked_id(id, is_key_taken=False))

    async def run(
        self, function: Callable[..., Awaitable[T]], *args: Any, timeout: float | None = None, **kwargs: Any
    ) -> T:
        """What `function(txn, *args, **kwargs)` gives in an interactive transaction, which is committed afterwards. If
        that lost to another one, or its node is gone, the function is run again in a new one, of the same age, while
        the time lasts: so it should do nothing else that counts."""
        return await retried(self._pool, self._seconds(timeout), lambda txn: function(txn, *args, **kwargs))

    async def fate(self, id: str, timeout: float | None = None, since: int | datetime = 0) -> Fate:
        """What became of a transaction, by its id or its key, from any node; NotFound for what is no id of this
        cluster, and for a key of which nothing is known. `since`, of a key: a time, or a timestamp that the cluster
        gave, from before it was first sent; it is then *expired* if its record may be gone."""
        return await ask_fate(self._pool, _checked_id(id), False, self._seconds(timeout), _timestamp(since))

    async def fence(self, id: str, timeout: float | None = None, since: int | datetime = 0) -> Fate:
        """The same, and afterwards it is committed or will never be: with a key for as long as its record is kept. An
        expired key is not fenced."""
        return await ask_fate(self._pool, _checked_id(id), True, self._seconds(timeout), _timestamp(since))

    async def status(self, wide: bool = True, timeout: float | None = None) -> dict[str, Any]:
        """Nodes, groups, leaders, lag. `wide`: the node that is asked asks all others, too."""
        return (await self._ask(lambda number, ms: AskStatus(number, wide), StatusIs, timeout)).status

    async def transactions(
        self, filter: str = NEWEST, limit: int = 50, after: str = "", timeout: float | None = None
    ) -> Transactions:
        """A page of what the nodes remember: `newest`, `slow`, `aborted` or `in_doubt` ones; `after` is the `next` of
        the page before it. BadRequest for another filter, limit or cursor."""
        answer = await self._ask(
            lambda number, ms: AskTransactions(number, filter, limit, after), TransactionsAre, timeout
        )
        return answer.page

    async def trace(self, id: str, timeout: float | None = None) -> Trace:
        """The steps of a transaction that the nodes remember, and its fate, by its id or its key; NotFound for what is
        no id of this cluster, and for a key under which nothing was committed."""
        known = _checked_id(id)
        if ids.is_key(known):
            known = (await self.fate(known, timeout)).transaction
            if not known:
                raise NotFound("nothing was committed under this key", transaction=id)
        return (await self._ask(lambda number, ms: AskTrace(number, known), TraceIs, timeout)).trace

    async def tables(self, after: str = "", limit: int | None = None, timeout: float | None = None) -> list[Table]:
        """The tables in bytewise order of their names: those that come after `after`, at most `limit` of them."""
        found: list[Table] = []
        while limit is None or len(found) < limit:
            most = TABLES_A_QUESTION if limit is None else min(TABLES_A_QUESTION, limit - len(found))
            page = await self._tables("", found[-1].name if found else after, most, timeout)
            found += page
            if len(page) < most:
                break
        return found

    async def table(self, name: str, timeout: float | None = None) -> Table:
        """The table of that name, written as the catalog has it (`accounts`, without quotes); NotFound."""
        found = await self._tables(name, "", 1, timeout) if name else []
        if not found:
            raise NotFound(f'relation "{name}" does not exist', sqlstate="42P01")
        return found[0]

    async def shards(self, timeout: float | None = None) -> list[Shard]:
        """Every shard with its slots and nodes, `s0` first."""
        return (await self._ask(lambda number, ms: AskShards(number), ShardsAre, timeout)).shards

    async def transfer_leader(self, group: str, node: int, timeout: float | None = None) -> Leadership:
        """Have the node lead the group; returns when it does. NotFound for a group that is none and for a node
        without a replica of it, Unavailable while that node is down or far behind. The group's preferred leader gets
        it back after it was away."""
        return (
            await self._ask(lambda number, ms: TransferLeader(number, group, node, ms), LeadershipIs, timeout)
        ).leadership

    async def add_node(self, node: int, timeout: float | None = None) -> Nodes:
        """Let a node in that asks for it; returns when that is written down. NotFound if it does not ask (yet)."""
        return await self._change_nodes("add", node, 0, False, timeout)

    async def remove_node(self, node: int, fewer: bool = False, timeout: float | None = None) -> Nodes:
        """Have a node leave; others take over its replicas, by and by. Returns when that is written down. `fewer`: also
        if not enough nodes are left for all replicas, which is a BadRequest otherwise."""
        return await self._change_nodes("remove", node, 0, fewer, timeout)

    async def replace_node(self, node: int, successor: int, timeout: float | None = None) -> Nodes:
        """Have a node leave, dead or alive, and another one, which was added, take its place in every group, by and by.
        Returns when that is written down."""
        return await self._change_nodes("replace", node, successor, False, timeout)

    async def _change_nodes(self, action: str, node: int, successor: int, fewer: bool, timeout: float | None) -> Nodes:
        def question(number: int, ms: int) -> ChangeNodes:
            return ChangeNodes(number, action, node, successor, fewer, ms)

        return (await self._ask(question, NodesAre, timeout)).nodes

    async def _tables(self, name: str, after: str, most: int, timeout: float | None) -> list[Table]:
        return (await self._ask(lambda number, ms: AskTables(number, name, after, most, ms), TablesAre, timeout)).tables

    async def _ask(self, question: Question, answer: type[Answer], timeout: float | None) -> Answer:
        """A question that may be asked any number of times; `question` as in `questions`."""
        return await ask(self._pool, question, answer, self._seconds(timeout))

    def _request(
        self,
        statements: list[Statement],
        timeout: float | None,
        key: str | UUID = "",
        as_of: Past = "",
        staleness_ms: int = 0,
        session_token: int = 0,
    ) -> Request:
        if not 0 <= session_token < 1 << 63:
            raise BadRequest(f"{session_token} is no session token; nothing was asked")
        timeout_ms = round(self._seconds(timeout) * 1000)
        return Request(statements, timeout_ms, None, str(key), _past(as_of), staleness_ms, session_token)

    def _seconds(self, timeout: float | None) -> float:
        if timeout is None:
            return self._timeout
        if not 0 < timeout < math.inf:
            raise BadRequest(f"a timeout is a number of seconds above 0, not {timeout}; nothing was asked")
        return timeout


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not host:port")
    return host.strip("[]"), int(port)


def _only_result(reply: Reply) -> Result:
    if reply.results_lost:
        raise ResultsLost("the transaction is committed, its answer was lost", transaction=reply.id)
    return reply.results[0]


def _checked_id(id: str, is_key_taken: bool = True) -> str:
    try:
        ids.key_of(id) if is_key_taken and ids.is_key(id) else ids.from_text(id)
    except ValueError as error:
        raise NotFound(f"no such transaction: {error}") from error
    return id


def _past(as_of: Past) -> str:
    """In words, as a request has it."""
    if isinstance(as_of, timedelta):
        return f"-{max(0, as_of // timedelta(milliseconds=1))}ms"
    if isinstance(as_of, datetime):
        if as_of.tzinfo is None:
            raise BadRequest("`as_of` must say its time zone; nothing was asked")
        return as_of.isoformat()
    return str(as_of)


def _staleness_ms(age: Age) -> int:
    """BadRequest for what is no time that passes; at least a millisecond for what is above 0."""
    seconds = age.total_seconds() if isinstance(age, timedelta) else age
    if not 0 <= seconds < math.inf:
        raise BadRequest(f"`max_staleness` is a number of seconds from 0 on, not {age}; nothing was asked")
    return math.ceil(seconds * 1000)


def _timestamp(since: int | datetime) -> int:
    if isinstance(since, int):
        if since < 0:
            raise BadRequest(f"{since} is no timestamp; nothing was asked")
        return since
    if since.tzinfo is None:
        raise BadRequest("`since` must say its time zone; nothing was asked")
    return ids.timestamp_at(since)
