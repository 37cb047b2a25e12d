"""Which groups this node holds a replica of, and who holds those of others (DESIGN.md §1, membership).

The leader of a group tells all nodes who its members are, now and then and when they changed for good. Who is one and
holds nothing begins a replica; who is none any more drops what it has; everybody learns whom to ask. What an operator
wants stands in the roster of `s0`; each leader does its group's next step towards it (nodes/core/membership.py).

*Invariants*: a replica begins, and goes, when that is in the journal; it begins with an empty store; what an older
entry says of the members never undoes what a newer one said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from nodes import ids
from nodes.core.engine import Store
from nodes.core.host import GATEWAY
from nodes.core.membership import (
    ChangeRefused,
    Configuration,
    Joined,
    Left,
    Members,
    Roster,
    founded,
    newer,
    next_roster_step,
    next_step,
)
from nodes.core.replicated_log import NotLeader
from nodes.core.roster import carried_out
from nodes.errors import StoreError
from nodes.runtime.messages import CarryOut, MembersAre, RosterIs, encode_record

if TYPE_CHECKING:
    from nodes.runtime.driver import Driver
    from nodes.runtime.group import Group

SYSTEM = "s0"
TELL_TICKS = 100
HAND_OVER_TICKS = 40
STEP_TICKS = 10
LEFT = "this node holds the group no more"


class Placement:
    """One node's. `founded`: group -> nodes, as the cluster was founded."""

    def __init__(self, driver: Driver, founding: dict[str, tuple[int, ...]], founders: Iterable[int]) -> None:
        self.driver = driver
        self.left: dict[int, int] = {}  # group code -> as of which slot its replica here was given up
        self.founded = founding
        self._founders = tuple(founders)
        self._known = {name: founded(*nodes) for name, nodes in founding.items()}
        self._told: dict[str, tuple[int, int]] = {}  # group -> what was told last: its slot, and that of the roster
        self._settled: dict[str, MembersAre] = {}  # what leaders told in this life of the node, itself among them
        self._joining: dict[int, Joined] = {}
        self._tried: dict[int, int] = {}  # group code -> when it was handed over last
        self._hand_overs = 0
        self._heard_slot = 0  # of `s0`: up to there nodes are heard that joined, chosen or not

    def held(self, records: Mapping[int, Iterable[Any]]) -> Iterator[str]:
        """The groups of which there is a replica here, as the journal says."""
        for name, nodes in self.founded.items():
            code = ids.group_code(name)
            changes = [record for record in records.get(code, ()) if isinstance(record, Joined | Left)]
            last = changes[-1] if changes else None
            if isinstance(last, Left):
                self.left[code] = last.slot
                self.driver.stores.drop(name, None)  # if there was no time for it
            elif last is not None or self.driver.node in nodes:
                yield name

    # -- what is known

    @property
    def roster(self) -> Roster:
        """As far as this node knows; it is told by the members of `s0`."""
        return self._known[SYSTEM].members.roster

    @property
    def roster_slot(self) -> int:
        """As of which slot of `s0` the roster is known here."""
        return self._known[SYSTEM].slot

    def records(self) -> list[bytes]:
        """What the journal must go on saying of groups that this node holds no replica of, or none yet."""
        gone = [encode_record((code, Left(slot))) for code, slot in self.left.items()]
        return gone + [encode_record((code, joined)) for code, joined in self._joining.items()]

    def nodes(self) -> tuple[int, ...]:
        """All that are in the cluster."""
        joined = [facts.number for facts in self.roster.joined]
        return tuple(node for node in (*self._founders, *joined) if node not in self.roster.gone)

    def configuration_of(self, group: str, store: Store, records: Iterable[Any]) -> Configuration:
        """The newest members that this node's store and journal know of."""
        known = store.configuration or founded(*self.founded[group])
        for record in records:
            if isinstance(record, Joined):
                known = newer(known, record.configuration)
        return known

    def members(self, group: str) -> Members:
        known = self._known.get(group)
        return known.members if known is not None else Members(())

    def all_members(self) -> dict[str, Members]:
        return {group: known.members for group, known in self._known.items()}

    def know(self, group: str, configuration: Configuration) -> None:
        """This was chosen: what is newer counts, here, for the router, and of `s0` for the network."""
        if configuration.slot <= self._known[group].slot:
            return
        self._known[group] = configuration
        self.driver.router.on_members(group, configuration.members.voters)
        if group == SYSTEM:
            self.driver.network.on_roster(self.roster)
            self._heard_slot = configuration.slot  # who is named behind it is heard anew
        self.driver.log.info("%s: members are %s", group, words_of(configuration.members))

    # -- what leaders tell

    def _hear_of_joining(self) -> None:
        """Who the log of `s0` names may be needed for a majority before that is chosen: it is dialled and heard."""
        group = self.driver.groups.get(ids.group_code(SYSTEM))
        named = group.log.configuration if group is not None else None
        if named is not None and named.slot > self._heard_slot:
            self._heard_slot = named.slot
            self.driver.network.on_roster(replace(self.roster, joined=named.members.roster.joined))

    def tick(self) -> None:
        self._hear_of_joining()
        now = self.driver.now
        for group in list(self.driver.groups.values()):
            if not group.served_epoch or group.stopped:
                continue
            is_news = self._told.get(group.group) != (group.configuration.slot, self.roster_slot)
            if (is_news or (now + group.code) % TELL_TICKS == 0) and self._is_settled(group):
                self._tell(group)
            if (now + group.code) % STEP_TICKS == 0:
                self._step(group)

    def _is_settled(self, group: Group) -> bool:
        return group.log.is_settled and group.log.configuration == group.configuration

    def _tell(self, group: Group) -> None:
        """Everybody, the nodes that are gone too: they have to let go."""
        self._told[group.group] = (group.configuration.slot, self.roster_slot)
        self._settled[group.group] = told = MembersAre(*group.configuration, self.roster_slot)
        for node in dict.fromkeys((*self.nodes(), *group.configuration.members.former)):
            if node != self.driver.node:
                self.driver.send(node, group.group, told)

    def on_told(self, code: int, told: MembersAre) -> None:
        name = ids.group_name(code)
        if name not in self._known:
            return
        self.know(name, Configuration(told.slot, told.members))
        if name not in self._settled or self._settled[name].slot <= told.slot:
            self._settled[name] = told
        is_member = self.driver.node in told.members.all
        group = self.driver.groups.get(code)
        if group is None and is_member and told.slot > self.left.get(code, 0):
            self._begin(code, told)
        elif group is not None and not is_member and group.configuration.slot <= told.slot:
            self._give_up(group, told.slot)  # whatever its log names that was never chosen: who was removed stays so

    def _begin(self, code: int, told: MembersAre) -> None:
        if code in self._joining:
            return
        joined = self._joining[code] = Joined(told.slot, told.members)

        def durable() -> None:
            del self._joining[code]
            if code not in self.driver.groups:
                self.driver.begin(code, joined)

        self.driver.keep(encode_record((code, joined)), durable)

    def _give_up(self, group: Group, slot: int) -> None:
        driver, store = self.driver, group.store
        driver.log.info("%s: the replica here is given up, members are others", group.group)
        group.stop(LEFT)
        group.transfer.close()
        del driver.groups[group.code]
        driver.router.remove_local(group.group)
        self.left[group.code] = slot
        drop = driver.stores.drop
        driver.keep(
            encode_record((group.code, Left(slot))),
            lambda: driver.read(lambda: drop(group.group, store), lambda _, error: None),
        )

    # -- what leaders change

    def _step(self, group: Group) -> None:
        leaving = self.roster.leaving | dict.fromkeys(self.roster.gone, 0)
        if self.driver.node in leaving:
            self._hand_over(group, leaving)
        members, roster_slot = group.configuration.members, self.roster_slot
        if members.roster_slot > roster_slot:
            return  # whoever led before knew more of what is wanted
        if group.group == SYSTEM:
            step = next_roster_step(members, len(self.founded[SYSTEM]), group.log.is_near, self._is_free)
        else:
            most = len(self.founded[group.group])
            step = next_step(members, leaving, most, lambda: self._choose(members), group.log.is_near)
        if step is not None and self.driver.node in step.voters and self._can_go_on(group, step):
            self._change_if_settled(group, replace(step, roster_slot=roster_slot))

    def _can_go_on(self, group: Group, members: Members) -> bool:
        """Is a majority of them there? What is begun without one cannot be finished, nor taken back."""
        heard = [node for node in members.voters if node == self.driver.node or group.log.is_heard(node)]
        return len(heard) >= members.quorum

    def on_order(self, group: Group, message: CarryOut) -> None:
        """An operator's, at the leader of `s0`; it is told when that is written down and chosen."""
        answer = RosterIs(message.number, group.leader)
        if group.served_epoch:
            answer.roster = group.configuration.members.roster
            try:
                wanted = carried_out(group.configuration.members, message.order, self.nodes(), self.driver.replicas)
            except StoreError as error:
                answer.error, wanted = error.info, None
            if wanted is not None:
                self._change_if_settled(group, wanted)
                return  # asked again, it is answered
            answer.leads = True
        self.driver.send(message.gateway, GATEWAY, answer)

    def _change_if_settled(self, group: Group, members: Members) -> None:
        if group.log.configuration == group.configuration:
            self.change(group, members)

    def change(self, group: Group, members: Members) -> None:
        try:
            group.change(members)
        except (ChangeRefused, NotLeader) as error:
            self.driver.log.info("%s: members are not changed now: %s", group.group, error)

    def _hand_over(self, group: Group, leaving: dict[int, int]) -> None:
        """Who shall leave leads nothing that another one could."""
        if self.driver.now - self._tried.get(group.code, -HAND_OVER_TICKS) < HAND_OVER_TICKS:
            return
        voters = group.configuration.members.voters
        heirs = [node for node in voters if node not in leaving and group.log.is_near(node)]
        if heirs:
            self._tried[group.code] = self.driver.now
            self._hand_overs += 1
            group.hand_over(heirs[self._hand_overs % len(heirs)])  # another one, if one does not take over

    def _is_free(self, node: int) -> bool:
        """Is it a member of no group but `s0`? What counts is what leaders told in this life of this node that knew as
        much of the roster as is known here: who knew less might yet make it a member."""
        for name in self._known.keys() - {SYSTEM}:
            told = self._settled.get(name)
            if told is None or told.roster_slot < self.roster_slot or node in told.members.all:
                return False
        return True

    def _choose(self, members: Members) -> int:
        """The node with the fewest replicas among those that could take one, such as are reached first: one that is not
        is waited for, for without it the group would have fewer replicas from then on. 0 if there is none."""
        taken = set(members.all + members.former) | set(self.roster.leaving)
        free = [node for node in self.nodes() if node not in taken]
        return min(free, key=lambda node: (not self._is_reached(node), self._replicas_at(node), node), default=0)

    def _is_reached(self, node: int) -> bool:
        return node == self.driver.node or self.driver.network.is_connected(node)

    def _replicas_at(self, node: int) -> int:
        return sum(node in known.members.all for known in self._known.values())


def words_of(members: Members) -> str:
    voters = ", ".join(map(ids.node_name, members.voters))
    learners = ", ".join(map(ids.node_name, members.learners))
    return f"{voters} (learning: {learners})" if learners else voters
