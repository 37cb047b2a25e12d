"""A transaction of several requests: begun, asked statement by statement, committed or rolled back. Written once, as
coroutines, like `Calls`: `nodes.client.aio.Transaction` is this class, `nodes.client.Transaction` its blocking form.

A statement that fails leaves nothing, and only going back to a savepoint or rolling back is allowed then. A transaction
that lost to another one, or whose node is gone, is over: every later call is told so. A commit whose answer was lost is
fenced: afterwards it has happened, or never will.

Each call is over when its time is, and of that a reserve at the end (as in submission.py) is kept for settling: nodes
have to answer before it.

*Invariant*: "did not happen" is raised of a commit only if that is certain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from nodes.client.conversation import Conversation
from nodes.client.pool import Pool
from nodes.client.questions import ask, committed_at
from nodes.client.statements import Params, Rows, Steps, listed, statement
from nodes.client.submission import age_of, reserve_of
from nodes.client.surroundings import Deadline, Pauses
from nodes.errors import DID_NOT_HAPPEN, UNKNOWN, BadRequest, Conflict, StoreError, TransactionAborted, Unavailable
from nodes.requests import COMMITTED, Begun, Reply, Result, Statement
from nodes.wire.protocol import BACK_TO, COMMIT, ROLLBACK, RUN, SAVE, Begin, Done, Opened, Ran

NOT_OPEN = "25P01"  # its node knows nothing of it (any more)
IS_FAILED = "25P02"  # a statement failed: it is to be undone before anything else
LEAVE_S = 0.5  # for the rollback at the end of a block; else the idle time ends it

T = TypeVar("T")


class Interactive:
    """One interactive transaction, asked one thing at a time. `left` gives the seconds that a call may take.

    `id`: "" before it is begun. `begun`: how long it lives, None where another program began it. `reply`: what `commit`
    gave."""

    def __init__(self, pool: Pool, left: Callable[[], float], age: str = "", id: str = "") -> None:
        self.id = id
        self.begun: Begun | None = None
        self.reply: Reply | None = None
        self._pool = pool
        self._left = left
        self._age = age
        self._conversation = Conversation(pool, id, is_numbered=False) if id else None
        self._end = ""  # in words; "": it is open
        self._loss: StoreError | None = None

    async def __aenter__(self) -> Self:
        if not self.id:
            await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Commit; or roll back, if the block or the commit failed. That a rollback fails is not raised."""
        if self._end:
            return
        try:
            if error is None:
                await self.commit()
        finally:
            if not self._end:
                with suppress(StoreError):
                    await self._roll_back(min(self._left(), LEAVE_S))

    async def begin(self) -> Begun:
        """Open it at some node; nothing is locked yet."""
        if self.id:
            raise BadRequest(f"the transaction {self.id} is begun already")
        opened = await ask(self._pool, lambda number, ms: Begin(number, self._age), Opened, self._deadline().left())
        self.begun, self.id = opened.begun, opened.begun.id
        self._conversation = Conversation(self._pool, self.id, is_numbered=True)
        return opened.begun

    async def execute(self, sql: str, params: Params = (), expect_rows: int = -1) -> Result:
        """One statement. It sees what this transaction has written, and locks what it reads."""
        return (await self.submit([statement(sql, params, expect_rows)]))[0]

    async def execute_many(self, statements: Steps, expect_rows: int = -1) -> list[Result]:
        """Several statements in one round trip, all of them or none. `expect_rows` holds for each that states none."""
        return await self.submit(listed(statements, expect_rows))

    async def query(self, sql: str, params: Params = ()) -> Rows:
        """The rows of a statement."""
        return Rows(await self.execute(sql, params))

    async def submit(self, statements: list[Statement]) -> list[Result]:
        """The results of the statements, all of them or none."""
        return await self._ran(RUN, statements)

    async def savepoint(self, name: str) -> None:
        """Make one; an earlier one of that name is hidden."""
        await self._ran(SAVE, name=name)

    async def rollback_to(self, name: str) -> None:
        """Undo what came after the savepoint; locks stay. BadRequest (3B001) if there is none of that name."""
        await self._ran(BACK_TO, name=name)

    async def commit(self) -> Reply:
        """OutcomeUnknown only if its fate could not be learnt."""
        conversation, deadline = self._open(), Deadline(self._pool.surroundings, self._left())
        try:
            done = await conversation.ask(COMMIT, Done, deadline.earlier(reserve_of(deadline.left())))
            self.reply = done.reply
        except StoreError as error:
            is_open = conversation.was_lost or error.info.outcome == UNKNOWN or error.info.sqlstate == NOT_OPEN
            if not is_open:
                if is_rolled_back(error):
                    self._end = "is rolled back"
                raise
            self.reply = await self._settled(error, deadline.left())
        self._end = "is committed"
        return self.reply

    async def _settled(self, error: StoreError, seconds: float) -> Reply:
        """Fence it, after a commit whose answer says not all. That its node knows nothing of it says nothing."""
        self._end = "may be committed"
        try:
            commit_ts = await committed_at(self._pool, self.id, str(error), seconds)
        except Unavailable:
            self._end = "is rolled back"
            if error.info.sqlstate == NOT_OPEN:
                error.info.outcome = DID_NOT_HAPPEN  # and never will
                raise error from None
            raise
        return Reply(self.id, COMMITTED, commit_ts, 1, [], [])

    async def rollback(self) -> None:
        """Undo all of it. Unavailable if no node could be told in time: then its idle time ends it."""
        await self._roll_back(self._left())

    async def _roll_back(self, seconds: float) -> None:
        conversation = self._open(is_loss_told=False)
        if self._loss is None:
            try:
                await conversation.ask(ROLLBACK, Ran, Deadline(self._pool.surroundings, seconds))
            except StoreError as error:
                is_own = self.begun is not None and error.info.sqlstate == NOT_OPEN  # and nobody has committed it
                if not is_own and not is_rolled_back(error):
                    raise
        self._end = "is rolled back"

    async def _ran(self, verb: int, statements: list[Statement] | None = None, name: str = "") -> list[Result]:
        conversation = self._open()
        try:
            return (await conversation.ask(verb, Ran, self._deadline(), statements or (), name)).results
        except StoreError as error:
            if error.info.sqlstate == NOT_OPEN or (is_rolled_back(error) and error.info.sqlstate != IS_FAILED):
                self._loss = error
            if error.info.sqlstate == NOT_OPEN and self.begun is not None:
                error.info.outcome = DID_NOT_HAPPEN  # nobody else has asked to commit it
            raise

    def _open(self, is_loss_told: bool = True) -> Conversation:
        """Refuses what is asked before the beginning and after the end."""
        if self._conversation is None:
            raise BadRequest("the transaction is not begun: that is done by `with`, or by `begin`")
        if self._end:
            raise BadRequest(f"the transaction {self._end}; nothing was asked")
        if self._loss is not None and is_loss_told:
            raise StoreError.of(self._loss.info)
        return self._conversation

    def _deadline(self) -> Deadline:
        """When nodes have to have answered."""
        left = self._left()
        return Deadline(self._pool.surroundings, left - reserve_of(left))


def is_rolled_back(error: StoreError) -> bool:
    """Is the transaction so, by what its node says? Only such an error names its age."""
    if isinstance(error, TransactionAborted):
        return error.info.sqlstate != NOT_OPEN
    return "age" in error.info.detail or (isinstance(error, Conflict) and error.info.retryable)


async def retried(pool: Pool, seconds: float, work: Callable[[Interactive], Awaitable[T]]) -> T:
    """What `work` gives in a transaction that is committed. It is run again in a new one, of the same age, while the
    last one certainly did not happen and a retry can help."""
    deadline, pauses, age = Deadline(pool.surroundings, seconds), Pauses(pool.surroundings), ""
    while True:
        txn = Interactive(pool, deadline.left, age)
        try:
            async with txn:
                return await work(txn)
        except StoreError as error:
            age = age or str(error.info.detail.get("age", "")) or age_of(txn.id)
            can_help = error.info.retryable or error.info.sqlstate == NOT_OPEN
            may_retry = can_help and error.info.outcome == DID_NOT_HAPPEN
            if not may_retry or not await pauses.pause(deadline.left()):
                raise
