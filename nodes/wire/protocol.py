"""What a client and a node say to each other; each frame is one of these, in MessagePack.

A client numbers its calls; answers carry the number and may come in any order. `Named` comes before the first message
of an attempt leaves the gateway, when the call asked for it (`named`): then exactly one attempt is made, and a client
that loses the connection knows which id to ask for.
"""

from __future__ import annotations

from typing import Any

import msgspec

from nodes.errors import ErrorInfo
from nodes.requests import (
    Begun,
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


class Call(msgspec.Struct, array_like=True, tag=1):
    """Run a one-shot request. Answered by Done or Failed (before that by Named if `named`). `age`: hex of the age of
    the request's first attempt ("" for a first one), from ErrorInfo.detail["age"]: who retries keeps its age."""

    number: int
    request: Request
    named: bool = False
    age: str = ""


class Named(msgspec.Struct, array_like=True, tag=2):
    number: int
    id: str


class Done(msgspec.Struct, array_like=True, tag=3):
    """`gateway`: the node that this client does best to turn to, 0: any. A commit costs least where its home is led."""

    number: int
    reply: Reply
    gateway: int = 0


class Failed(msgspec.Struct, array_like=True, tag=4):
    number: int
    error: ErrorInfo


class Begin(msgspec.Struct, array_like=True, tag=9):
    """Open an interactive transaction at this node. Answered by Opened or Failed; nothing is locked yet. `age` as in
    Call."""

    number: int
    age: str = ""


class Opened(msgspec.Struct, array_like=True, tag=10):
    number: int
    begun: Begun


RUN, COMMIT, ROLLBACK, SAVE, BACK_TO = range(5)


class Within(msgspec.Struct, array_like=True, tag=11):
    """Do something in an open interactive transaction, at any node. `verb` RUN: these statements, all of them or none,
    answered by Ran; COMMIT: Done; ROLLBACK: Ran; SAVE: make the savepoint `name`, and BACK_TO: undo what came after it:
    Ran. All: or Failed. One thing after the other: what is asked while another thing is under way is refused.

    `seq` 0: not numbered. Else the caller numbers what it asks of this transaction from 1, and a repeat of the last
    number is answered as it was."""

    number: int
    id: str
    verb: int
    seq: int = 0
    statements: list[Statement] = []
    name: str = ""
    timeout_ms: int = 10_000


class Ran(msgspec.Struct, array_like=True, tag=12):
    """`results`: of each statement."""

    number: int
    results: list[Result] = []


class AskFate(msgspec.Struct, array_like=True, tag=5):
    """The fate of an id, or of a client key, at any node. `fence`: afterwards committed or never to be. `since`: of a
    key, a timestamp from before its first sending; it is then *expired* if its record may be gone. 0: not told.
    Answered by FateIs or Failed."""

    number: int
    id: str
    fence: bool = False
    timeout_ms: int = 10_000
    since: int = 0


class FateIs(msgspec.Struct, array_like=True, tag=6):
    number: int
    fate: Fate


class AskStatus(msgspec.Struct, array_like=True, tag=7):
    """What this node knows of itself and the cluster. `wide`: it asks the other nodes too. Answered by StatusIs."""

    number: int
    wide: bool = False


class StatusIs(msgspec.Struct, array_like=True, tag=8):
    """`status` is a plain dictionary, see nodes/runtime/status.py for its shape."""

    number: int
    status: dict[str, Any]


class AskTransactions(msgspec.Struct, array_like=True, tag=20):
    """Transactions that the nodes remember; the node asks all others. `filter`: one of nodes.requests.FILTERS; `after`
    is the `next` of the page before. Answered by TransactionsAre or Failed."""

    number: int
    filter: str
    limit: int
    after: str = ""


class TransactionsAre(msgspec.Struct, array_like=True, tag=21):
    number: int
    page: Transactions


class AskTrace(msgspec.Struct, array_like=True, tag=22):
    """The steps of an id and its fate; the node asks all others. Answered by TraceIs or Failed."""

    number: int
    id: str


class TraceIs(msgspec.Struct, array_like=True, tag=23):
    number: int
    trace: Trace


class AskTables(msgspec.Struct, array_like=True, tag=30):
    """The tables whose names come after `after`, in bytewise order, at most `most` of them; or only the one called
    `name`, if it is not "". They are those that were there when this was asked. Answered by TablesAre or Failed."""

    number: int
    name: str = ""
    after: str = ""
    most: int = 100
    timeout_ms: int = 10_000


class TablesAre(msgspec.Struct, array_like=True, tag=31):
    number: int
    tables: list[Table]


class AskShards(msgspec.Struct, array_like=True, tag=32):
    """All shards, in the order of their numbers. Answered by ShardsAre or Failed."""

    number: int


class ShardsAre(msgspec.Struct, array_like=True, tag=33):
    number: int
    shards: list[Shard]


class TransferLeader(msgspec.Struct, array_like=True, tag=34):
    """The node `to` shall lead the group. Answered by LeadershipIs, when it does, or Failed. May be asked again."""

    number: int
    group: str
    to: int
    timeout_ms: int = 10_000


class LeadershipIs(msgspec.Struct, array_like=True, tag=35):
    number: int
    leadership: Leadership


class ChangeNodes(msgspec.Struct, array_like=True, tag=36):
    """An operator's order: `action` "add" (`node` asks the node that hears this to be let in), "remove" or "replace"
    (by the node `successor`). Answered by NodesAre, when it is written down, or Failed. May be asked again."""

    number: int
    action: str
    node: int
    successor: int = 0
    fewer: bool = False
    timeout_ms: int = 10_000


class NodesAre(msgspec.Struct, array_like=True, tag=37):
    number: int
    nodes: Nodes


FromClient = (
    Call | Begin | Within | AskFate | AskStatus | AskTransactions | AskTrace | AskTables | AskShards | TransferLeader
    | ChangeNodes
)  # fmt: skip
ToClient = (
    Named | Done | Opened | Ran | Failed | FateIs | StatusIs | TransactionsAre | TraceIs | TablesAre | ShardsAre
    | LeadershipIs | NodesAre
)  # fmt: skip
