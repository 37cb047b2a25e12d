"""What a node hears of who joined, before and after that is chosen (nodes/runtime/placement.py)."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from nodes import ids
from nodes.core.membership import Configuration, Members, NodeFacts, Roster, founded, with_learner
from nodes.runtime.messages import MembersAre
from nodes.runtime.placement import SYSTEM, Placement
from nodes.runtime.router import Router

N4 = NodeFacts(4, b"i4", "127.0.0.1", 7104)


def test_who_the_log_names_is_heard_also_when_less_is_told_to_be_chosen() -> None:
    """A majority may need it: an older word of the members must not have it unheard again."""
    founding = {SYSTEM: (1, 2, 3)}
    rosters: list[Roster] = []
    named = Configuration(30, with_learner(Members((1, 2, 3), roster=Roster((N4,))), 4))
    log = SimpleNamespace(configuration=named)
    group = SimpleNamespace(log=log, served_epoch=0, stopped="")
    driver = SimpleNamespace(
        node=2, now=0, router=Router(founding), log=logging.getLogger("test"),
        groups={ids.group_code(SYSTEM): group}, network=SimpleNamespace(on_roster=rosters.append),
    )  # fmt: skip
    placement = Placement(driver, founding, founding[SYSTEM])  # type: ignore[arg-type]
    placement.tick()
    assert rosters[-1].joined == (N4,)
    placement.know(SYSTEM, Configuration(26, founded(1, 2, 3).members))
    assert rosters[-1].joined == ()
    placement.tick()
    assert rosters[-1].joined == (N4,)
    placement.tick()
    assert len(rosters) == 3, "what is heard already is not told again"


def test_a_node_is_not_taken_for_free_while_a_group_has_told_nothing_or_knew_less() -> None:
    """Whose leader knew less of what is wanted might yet make it a member, and then the group would lose it."""
    founding = {SYSTEM: (1, 2, 3), "s1": (1, 2, 3)}
    leaving = Members((1, 2, 3), roster=Roster(leaving={3: 0}), roster_slot=20)
    system = SimpleNamespace(log=SimpleNamespace(configuration=Configuration(20, leaving)), served_epoch=0, stopped="")
    other = SimpleNamespace(log=SimpleNamespace(configuration=founded(1, 2, 3)), served_epoch=0, stopped="")
    driver = SimpleNamespace(
        node=1, now=0, router=Router(founding), log=logging.getLogger("test"),
        groups={ids.group_code(SYSTEM): system, ids.group_code("s1"): other},
        network=SimpleNamespace(on_roster=lambda roster: None),
    )  # fmt: skip
    placement = Placement(driver, founding, founding[SYSTEM])  # type: ignore[arg-type]
    placement.know(SYSTEM, Configuration(20, leaving))
    assert placement.roster_slot == 20
    assert not placement._is_free(3)
    without = Members((1, 2), former=(3,))
    for slot, members, roster_slot, is_free in (
        (7, Members((1, 2, 3)), 20, False),
        (8, without, 19, False),
        (9, without, 20, True),
    ):
        placement.on_told(ids.group_code("s1"), MembersAre(slot, members, roster_slot))
        assert placement._is_free(3) is is_free


def test_who_was_removed_lets_go_whatever_its_log_names_that_was_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log has later members, of a leader that nobody follows any more; and not if those are known to be chosen."""
    founding = {SYSTEM: (1, 2, 3), "s1": (1, 2, 3)}
    later = Configuration(29, with_learner(Members((1, 2, 3)), 4))
    group = SimpleNamespace(log=SimpleNamespace(configuration=later), configuration=founded(1, 2, 3))
    driver = SimpleNamespace(
        node=2, now=0, router=Router(founding), log=logging.getLogger("test"), groups={ids.group_code("s1"): group}
    )
    placement = Placement(driver, founding, founding[SYSTEM])  # type: ignore[arg-type]
    let_go: list[int] = []
    monkeypatch.setattr(placement, "_give_up", lambda group, slot: let_go.append(slot))
    removed = MembersAre(26, Members((1, 3), former=(2,)))
    placement.on_told(ids.group_code("s1"), removed)
    assert let_go == [26]
    group.configuration = later
    placement.on_told(ids.group_code("s1"), removed)
    assert let_go == [26]
