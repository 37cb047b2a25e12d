"""Whether a cluster is at rest, and what is still to come, in words."""

from __future__ import annotations

from nodes.runtime.driver import Driver


def unsettled(drivers: list[Driver], targets: dict[str, int]) -> str:
    """What is not at rest yet, in words; "" for nothing. `targets`: what every replica should have applied."""
    led: dict[str, int] = {}
    for driver in drivers:
        if driver.is_low_on_disk:
            return f"n{driver.node} has not seen yet that there is room"
        for group in driver.groups.values():
            machine = group.machine
            leading = getattr(machine, "leading", None)
            if leading is not None:
                led[group.group] = led.get(group.group, 0) + 1
            if group.applied_slot < targets.get(group.group, 0):
                return f"n{driver.node} is behind in {group.group}"
            prepared = getattr(machine.state, "prepared", None)  # type: ignore[attr-defined]
            if prepared:
                return f"{len(prepared)} in doubt at {group.group}"
            if leading is not None and group.group[0] == "s":
                if leading.participant.active or len(leading.participant.locks):
                    return f"locks are held at {group.group}"
            elif leading is not None and (leading.unacknowledged or machine.state.undone):  # type: ignore[attr-defined]
                return f"not done at {group.group}"
        if driver.gateway.attempts or driver.gateway.reads.running:
            return f"attempts under way at n{driver.node}"
    wrong = [name for name in drivers[0].router.members if led.get(name) != 1]
    return f"leaders: {led}" if wrong else ""


def led_elsewhere(drivers: list[Driver]) -> str:
    """A group that its preferred leader should have again: nobody gave it away on purpose. "" for none."""
    for driver in drivers:
        for group in driver.groups.values():
            if group.served_epoch and group.preferred != driver.node and not group.log.handed_over:
                return f"n{driver.node} leads {group.group}, which it was not given"
    return ""
