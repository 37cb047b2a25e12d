"""Is what clients were told strictly serializable? A checker of histories that looks at nothing but the answers.

`check(history)` of a list of `Transaction`s gives a `Verdict`: the anomalies by their names, each with the cycle of
transactions that proves it. The names are Adya's (1999, chapter 4), those of sessions and real time, and the way to
find them from values that come once, are those of Kingsbury and Alvaro ("Elle", VLDB 2020).

    history      what was asked and told
    lists, registers, sets    who must have come before whom, from what each kind of data shows
    intervals    ... and from when it was asked and told
    graph, cycles             the cycles of all that, and their names
    check        all of it

*Left out*: how a history is recorded (`monitoring/selfcheck/workloads`, `tests/sim`). Nothing here imports Django or
the store.
"""

from monitoring.selfcheck.checker.check import Verdict, check

__all__ = ["Verdict", "check"]
