"""The voter in every role: who is told "you could win", and who gets the vote of a term.

A vote is refused to a log that is less up to date (case R02) and given once a term, durably (R01). As long as a leader
is heard from, requests are not even looked at (R12, R20), unless that leader itself asked for the election (R22).
A learner answers too: it may be a voter already without knowing (R21); who asks counts whom it takes for voters.

*Invariants*: a pre-vote changes nothing here; a granted vote leaves when it is durable. The paper, section 5.4.1; the
dissertation, sections 4.2.3 and 9.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodes.core.raft.candidate import PreCandidate
from nodes.core.raft.messages import NOBODY, PreVote, RequestPreVote, RequestVote, Vote

if TYPE_CHECKING:
    from nodes.core.raft.replica import RaftReplica


def is_up_to_date(replica: RaftReplica, message: RequestPreVote | RequestVote) -> bool:
    """Is the asker's log at least as good as ours: a higher last epoch, or the same one and no shorter?"""
    return (message.last_epoch, message.last_slot) >= (replica.log.last_epoch, replica.log.last_slot)


def on_request_pre_vote(replica: RaftReplica, sender: int, message: RequestPreVote) -> None:
    if replica.protects_a_leader():
        return
    granted = message.term > replica.term and is_up_to_date(replica, message)
    # A refusal tells the asker our term, so that one that missed terms asks for a later one next time.
    replica.outbox.reply(sender, PreVote(replica.term, message.term, granted))
    if granted and isinstance(replica.role, PreCandidate):
        replica.role.yield_to(sender)


def on_request_vote(replica: RaftReplica, sender: int, message: RequestVote) -> None:
    if message.term < replica.term:
        replica.outbox.reply(sender, Vote(replica.term, False))
        return
    if replica.protects_a_leader() and not message.transfer:
        return
    if message.term > replica.term:
        replica.follow(message.term, None)
    if replica.vote not in (NOBODY, sender) or not is_up_to_date(replica, message):
        replica.outbox.reply(sender, Vote(replica.term, False))
        return
    replica.give_vote(sender)
    replica.outbox.promises.append((sender, Vote(replica.term, True)))
