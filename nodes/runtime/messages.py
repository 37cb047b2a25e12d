"""The one union of everything that nodes say to each other, and of everything that they journal.

A frame between nodes is a list of (target code, message): `ids.group_code` of a group, or one of the codes here.
"""

from __future__ import annotations

import typing
from typing import Any

import msgspec

from nodes.core import founding, transfer
from nodes.core.membership import Left, Members, Roster
from nodes.core.paxos import messages as paxos
from nodes.core.raft import messages as raft
from nodes.core.roster import Order
from nodes.core.txn import messages as txn
from nodes.errors import ErrorInfo
from nodes.requests import Decision, Reply, Result, Step, Transaction
from nodes.wire.codec import Codec
from nodes.wire.protocol import FromClient, ToClient, Within

GATEWAY_CODE = 0xFFFF
NODE_CODE = 0xFFFE


class Boundary(msgspec.Struct, array_like=True, frozen=True):
    """Segments of the journal before `segment` hold nothing above `slots` (by group code)."""

    segment: int
    slots: dict[int, int]


class Boundaries(msgspec.Struct, array_like=True, frozen=True, tag=194):
    """Record of the node: all that are known, oldest first. The newest record counts."""

    known: list[Boundary]


class Anew(msgspec.Struct, array_like=True, frozen=True, tag=195):
    """Record of a group: its log is written anew from here on. What it said before, as far as that is still there, is
    void, and may lack what lay in segments that are gone."""


class AskNodeStatus(msgspec.Struct, array_like=True, tag=65):
    """One node to another: what do you know of yourself? (nodes/runtime/status.py)"""

    number: int


class NodeStatusIs(msgspec.Struct, array_like=True, tag=66):
    number: int
    status: dict[str, Any]


class AskNodeTransactions(msgspec.Struct, array_like=True, tag=70):
    """Which transactions does your gateway remember, or which are in doubt at you? (nodes/runtime/pages.py)"""

    number: int
    filter: str
    limit: int
    after: str


class NodeTransactionsAre(msgspec.Struct, array_like=True, tag=71):
    """One more than `limit` if there are more."""

    number: int
    transactions: list[Transaction]
    since_us: int


class AskNodeTrace(msgspec.Struct, array_like=True, tag=72):
    """Which steps of this transaction do you remember?"""

    number: int
    txn: bytes


class NodeTraceIs(msgspec.Struct, array_like=True, tag=73):
    number: int
    transaction: Transaction | None
    steps: list[Step]
    since_us: int


class AskNodeDoubts(msgspec.Struct, array_like=True, tag=87):
    """What do you know of these, which are in doubt somewhere? (nodes/runtime/doubts.py)"""

    number: int
    txns: list[bytes]


class DoubtFacts(msgspec.Struct, array_like=True, frozen=True):
    """`shards`: those that take part, as far as its gateway is here; `decision`, if a replica of its home is."""

    txn: bytes
    shards: list[str]
    decision: Decision | None


class NodeDoubtsAre(msgspec.Struct, array_like=True, tag=88):
    number: int
    facts: list[DoubtFacts]


class HandOver(msgspec.Struct, array_like=True, tag=74):
    """To the leader of a group: the node `to` shall lead it. Answered, to the gateway at `gateway`, by whoever leads
    when that is so; or by one who does not lead or will not do it."""

    number: int
    gateway: int
    to: int


class LedBy(msgspec.Struct, array_like=True, tag=75):
    """`leads`: this node, which was to lead, does, in `epoch`. Else `leader` is its best guess (0: none); if that is
    itself, `refusal` says why it will not hand over."""

    number: int
    group: str
    leader: int
    epoch: int = 0
    leads: bool = False
    refusal: str = ""


class MembersAre(msgspec.Struct, array_like=True, tag=76):
    """The leader of a group to every node: since the entry at `slot`, chosen for good, these are its members. It knows
    the roster as of `roster_slot` of `s0`."""

    slot: int
    members: Members
    roster_slot: int = 0


class CarryOut(msgspec.Struct, array_like=True, tag=77):
    """To the leader of `s0`, from the gateway at `gateway`, until it is answered: an operator's order."""

    number: int
    gateway: int
    order: Order


class RosterIs(msgspec.Struct, array_like=True, tag=78):
    """`leads`: the order is written down, and the `roster` with it is chosen; or it is refused, with an `error`. Else
    `leader` is the best guess (0: none)."""

    number: int
    leader: int
    leads: bool = False
    roster: Roster = Roster()
    error: ErrorInfo | None = None


class Relay(msgspec.Struct, array_like=True, tag=79):
    """What a client asked at `node` in an interactive transaction of the node that hears this. It may come again."""

    number: int
    node: int
    within: Within


class Relayed(msgspec.Struct, array_like=True, tag=80):
    """What its client is told: an error, or the reply to a commit, or results."""

    number: int
    error: ErrorInfo | None = None
    reply: Reply | None = None
    results: list[Result] = []


class AskGateway(msgspec.Struct, array_like=True, tag=85):
    """To the gateway that minted `txn`, from the one at `node`: is it open there, or under way? `fenced`: it is to
    be aborted for good, so what is open there ends. It may come again."""

    number: int
    node: int
    txn: bytes
    fenced: bool = False


CHANGED_NOTHING = "it changed nothing"


class GatewayTells(msgspec.Struct, array_like=True, tag=86):
    """`state`: ACTIVE, ABORTED (never proposed, and never will be, or its home said so), COMMITTED (it changed
    nothing, so nobody else may know of it), or UNDECIDED: it cannot tell. `reason` in words."""

    number: int
    state: str
    reason: str = ""


NodeQuestion = (
    AskNodeStatus | NodeStatusIs | AskNodeTransactions | NodeTransactionsAre | AskNodeTrace | NodeTraceIs
    | AskNodeDoubts | NodeDoubtsAre
    | HandOver | LedBy | MembersAre | CarryOut | RosterIs | Relay | Relayed | AskGateway | GatewayTells
)  # fmt: skip
NodeMessage = raft.Message | paxos.Message | txn.Message | transfer.Message | founding.Message | NodeQuestion
Record = raft.Record | paxos.Record | founding.Record | Boundaries | Anew | Left

LOG_MESSAGES: frozenset[type] = frozenset(typing.get_args(raft.Message) + typing.get_args(paxos.Message))
TAKE_OVERS: frozenset[type] = frozenset((raft.TimeoutNow, paxos.TakeOver))  # "lead in my place"
TRANSFER_MESSAGES: frozenset[type] = frozenset(typing.get_args(transfer.Message))

peers: Codec[Any] = Codec(list[tuple[int, NodeMessage]])
clients: Codec[Any] = Codec(FromClient)
answers: Codec[Any] = Codec(ToClient)

encode_record = msgspec.msgpack.Encoder().encode
decode_record: Any = msgspec.msgpack.Decoder(tuple[int, Record]).decode
