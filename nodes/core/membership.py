"""Who is in a group, and how that changes: one voter at a time, by entries of the group's own log (DESIGN.md §1).

`Members` says who votes and who only learns. A node joins a group as a learner; when it is near it becomes a voter; who
shall leave is removed then. What an operator wants stands in the members of `s0` (its roster), which every node
follows; each group's leader does the next step towards it (`next_step`), whoever leads and however often it falls.

*Invariants*: two sets of voters that follow on each other have a member in common in any two majorities, for they
differ by one voter at most. A node that a group has parted with never comes back to it, and a node's number is never
given twice: with its replica went what it had promised, and late answers of that one must not count for another.

*Left out*: joint consensus, which changes many at once. Ongaro's dissertation, chapter 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

MARK = b"\xc1"  # an entry that begins so changes the members: no MessagePack begins with this byte


class NodeFacts(msgspec.Struct, array_like=True, frozen=True):
    """A node that joined after the founding: what its data directory was drawn as, and where it is dialled."""

    number: int
    incarnation: bytes
    host: str
    port: int


class Roster(msgspec.Struct, array_like=True, frozen=True):
    """The nodes of the cluster, beside its founders. `leaving`: node -> who takes its place (0: whoever has room);
    `gone`: numbers of nodes that were removed, the founders among them too."""

    joined: tuple[NodeFacts, ...] = ()
    leaving: dict[int, int] = {}
    gone: tuple[int, ...] = ()


class Members(msgspec.Struct, array_like=True, frozen=True):
    """Node numbers; of the voters the preferred leader first. `former` were members once; `roster` counts in those of
    `s0` alone. `roster_slot`: by the roster of which slot of `s0` this group changed last: who knows an older one only
    must not undo what was done by a newer."""

    voters: tuple[int, ...]
    learners: tuple[int, ...] = ()
    former: tuple[int, ...] = ()
    roster: Roster = Roster()
    roster_slot: int = 0

    @property
    def all(self) -> tuple[int, ...]:
        return self.voters + self.learners

    @property
    def quorum(self) -> int:
        return len(self.voters) // 2 + 1

    def others(self, me: int) -> tuple[int, ...]:
        return tuple(node for node in self.all if node != me)


class Configuration(NamedTuple):
    """The members as the entry at `slot` (0: the founding) says."""

    slot: int
    members: Members


def facts_of(roster: Roster, node: int) -> NodeFacts | None:
    return next((facts for facts in roster.joined if facts.number == node), None)


def founded(*voters: int) -> Configuration:
    """The members of a group that begins."""
    return Configuration(0, Members(voters))


class Joined(msgspec.Struct, array_like=True, frozen=True, tag=196):
    """Record: this replica began, with nothing, when the `members` of `slot` were chosen."""

    slot: int
    members: Members

    @property
    def configuration(self) -> Configuration:
        return Configuration(self.slot, self.members)


class Left(msgspec.Struct, array_like=True, frozen=True, tag=197):
    """Record: as of the members of `slot` this node holds no replica of the group."""

    slot: int


class ChangeRefused(Exception):
    """The members cannot be changed so, or not now; nothing was appended. The words say why."""


encode = msgspec.msgpack.Encoder().encode
_decode_members = msgspec.msgpack.Decoder(Members).decode


def encode_members(members: Members) -> bytes:
    """The data of an entry."""
    return MARK + encode(members)


def decode_members(data: bytes) -> Members:
    return _decode_members(data[1:])


def newer(one: Configuration, other: Configuration) -> Configuration:
    return other if other.slot > one.slot else one


def check_change(old: Members, new: Members, leader: int) -> None:
    """ChangeRefused unless any majority of the one meets any of the other. A leader that shall leave hands over first:
    else it could hold alone what the others need to go on (case R19)."""
    if leader not in new.voters:
        raise ChangeRefused(f"n{leader} leads, and has to hand over before it leaves")
    if len(set(new.all)) != len(new.all) or not new.voters:
        raise ChangeRefused(f"these are no members: {new}")
    if len(set(old.voters) ^ set(new.voters)) > 1:
        raise ChangeRefused(f"from voters {old.voters} to {new.voters} is more than one step")
    if back := set(new.all).intersection(old.former):
        raise ChangeRefused(f"who was a member once does not come back: {sorted(back)}")
    if gone := set(old.all + old.former).difference(new.all + new.former):
        raise ChangeRefused(f"who is removed is a former member from then on: {sorted(gone)}")


def next_step(
    members: Members,
    leaving: Mapping[int, int],
    most_voters: int,
    choose: Callable[[], int],
    is_near: Callable[[int], bool],
) -> Members | None:
    """What a group's leader should change next, so that nobody who is `leaving` is a member; None: nothing, or nothing
    yet. `choose` names a node without a replica that could hold one, 0 if there is none; `is_near` says which learner
    may vote by now. `most_voters` is what the group was founded with. While all voters are leaving there is nobody whom
    the leader could hand over to, so first comes one who stays.
    """
    going = next((node for node in members.voters if node in leaving), 0)
    does_one_stay = any(node not in leaving for node in members.voters)
    if going and does_one_stay and len(members.voters) > most_voters:
        return without(members, going)
    successor = _successor(members, leaving, going, choose)
    unwanted = [node for node in members.learners if node != successor]
    if unwanted:
        return without(members, unwanted[0])
    if not going or (not successor and len(members.voters) == 1):
        return None
    if not successor:
        return without(members, going)
    if successor not in members.learners:
        return with_learner(members, successor)
    return promoted(members, successor, going) if is_near(successor) else None


def next_roster_step(
    members: Members, most_voters: int, is_near: Callable[[int], bool], is_free: Callable[[int], bool]
) -> Members | None:
    """The same for `s0`, in which every node is a member, a learner if it is no voter. A node leaves it last, when it
    `is_free` of all other groups, and is gone then."""
    leaving = members.roster.leaving
    for node in leaving:
        is_spare = node not in members.voters or len(members.voters) > most_voters
        successor = 0 if is_spare else _successor(members, leaving, node, lambda: 0)
        if successor and is_near(successor):
            return promoted(members, successor, node)
        if not successor and len(members.all) > 1 and is_free(node):
            return _gone(without(members, node), node)
    return None


def _successor(members: Members, leaving: Mapping[int, int], going: int, choose: Callable[[], int]) -> int:
    """Who takes the place of `going`: as was said, else a learner that is there already, else as chosen; 0: nobody. Who
    was said may not be able to: it learned here once and was sent away, for another one was wanted."""
    if not going:
        return 0
    wanted = leaving[going]
    if wanted and wanted not in leaving and wanted not in members.voters + members.former:
        return wanted
    learners = [node for node in members.learners if node not in leaving]
    return learners[0] if learners else choose()


def promoted(members: Members, successor: int, going: int) -> Members:
    """`successor` votes, in front of the one that it will replace: who is first is preferred as leader."""
    place = members.voters.index(going)
    voters = (*members.voters[:place], successor, *members.voters[place:])
    learners = tuple(node for node in members.learners if node != successor)
    return replace(members, voters=voters, learners=learners)


def with_learner(members: Members, node: int) -> Members:
    return replace(members, learners=(*members.learners, node))


def without(members: Members, going: int) -> Members:
    voters = tuple(node for node in members.voters if node != going)
    learners = tuple(node for node in members.learners if node != going)
    return replace(members, voters=voters, learners=learners, former=(*members.former, going))


def _gone(members: Members, node: int) -> Members:
    roster = members.roster
    joined = tuple(facts for facts in roster.joined if facts.number != node)
    leaving = {each: successor * (successor != node) for each, successor in roster.leaving.items() if each != node}
    return replace(members, roster=Roster(joined, leaving, (*roster.gone, node)))
