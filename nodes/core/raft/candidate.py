"""The candidate, in its two halves: the pre-candidate only asks whether it could win, the candidate asks for votes.

A pre-vote changes nothing anywhere, so a node that was cut off disturbs nobody when it comes back: its term did not
grow (case R11). Requests are repeated to those that have not answered; when the time-out passes, it starts over.

*Invariants*: a term is begun only by who was told by a majority that it could win, or whom the leader asked to; the
own vote counts when it is durable; a request for votes leaves when term, vote and the log it speaks of are durable.
The paper, section 5.2; the dissertation, sections 9.6 and 3.10.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from nodes.core.raft.messages import PreVote, RequestPreVote, RequestVote, Vote
from nodes.core.raft.role import Role

if TYPE_CHECKING:
    from nodes.core.raft.replica import RaftReplica


class Campaign(Role, ABC):
    """Asking everybody, counting the answers, asking again."""

    __slots__ = ("_answers", "_asked_at")

    def __init__(self, replica: RaftReplica) -> None:
        super().__init__(replica)
        self._answers: dict[int, bool] = {}
        self._asked_at = replica.now

    def tick(self) -> None:
        replica = self.replica
        if replica.now >= replica.election_at:
            replica.campaign()
        elif replica.now - self._asked_at >= replica.timing.retransmit:
            self._ask()

    def _ask(self) -> None:
        self._asked_at = self.replica.now
        for peer in self.replica.members.voters:
            if peer not in self._answers and peer != self.replica.me:
                self._request(peer)

    @abstractmethod
    def _request(self, peer: int) -> None:
        """Ask one peer."""

    def _count(self, voter: int, granted: bool) -> bool:
        """Take one answer; is there a majority now?"""
        members = self.replica.members
        self._answers[voter] = granted
        return sum(self._answers.get(each, False) for each in members.voters) >= members.quorum


class PreCandidate(Campaign):
    """Asks, in its present term, who would vote for it in the next."""

    __slots__ = ()

    def start(self) -> None:
        self.replica.leader = None
        self.replica.arm_election()
        if self._count(self.replica.me, True):
            self.replica.stand(transfer=False)
        else:
            self._ask()

    def on_pre_vote(self, sender: int, message: PreVote) -> None:
        if message.proposed != self.replica.term + 1:
            return
        if self._count(sender, message.granted):
            self.replica.stand(transfer=False)

    def yield_to(self, other: int) -> None:
        """Of two that could both win only the one with the smaller number goes on, so that they split no votes."""
        if other < self.replica.me:
            self.replica.follow(self.replica.term, None)

    def _request(self, peer: int) -> None:
        replica, log = self.replica, self.replica.log
        replica.outbox.sends.append((peer, RequestPreVote(replica.term + 1, log.last_slot, log.last_epoch)))

    handlers: ClassVar[dict[type, Callable[[Any, int, Any], None]]] = {PreVote: on_pre_vote}


class Candidate(Campaign):
    """Has begun a new term and voted for itself in it. `transfer`: the leader of the term before asked for it."""

    __slots__ = ("_transfer",)

    def __init__(self, replica: RaftReplica, transfer: bool) -> None:
        super().__init__(replica)
        self._transfer = transfer

    def start(self) -> None:
        replica = self.replica
        replica.leader = None
        replica.enter_term(replica.term + 1, vote=replica.me)
        replica.arm_election()
        self._ask()

    def on_durable(self) -> None:
        if self.replica.outbox.term_is_durable:
            self._take_vote(self.replica.me, True)

    def on_vote(self, sender: int, message: Vote) -> None:
        self._take_vote(sender, message.granted)

    def _take_vote(self, voter: int, granted: bool) -> None:
        if not self._count(voter, granted):
            return
        # The promises of others leave only after our own vote is durable, but one of them may overtake `on_durable`.
        if self.replica.outbox.term_is_durable:
            self.replica.lead()

    def _request(self, peer: int) -> None:
        replica, log = self.replica, self.replica.log
        request = RequestVote(replica.term, log.last_slot, log.last_epoch, self._transfer)
        replica.outbox.promises.append((peer, request))

    handlers: ClassVar[dict[type, Callable[[Any, int, Any], None]]] = {Vote: on_vote}
