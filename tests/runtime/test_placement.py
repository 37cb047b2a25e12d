"""What a node hears of who joined, before and after that is chosen (nodes/runtime/placement.py)."""

from __future__ import annotations

import logging
from types import SimpleNamespace

from nodes import ids
from nodes.core.membership import Configuration, Members, NodeFacts, Roster, founded, with_learner
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
