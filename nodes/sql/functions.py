"""The SQL functions and collations that every connection needs before it runs SQL of a plan (DESIGN.md §6).

What they mean is `semantics` and the modules of the types. What they raise comes out of the connection as it is: a
`StoreError`. All are deterministic, so CHECK constraints may use them too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from nodes.sql import binaries, doubles, moments, numerics, semantics

SCALARS: dict[str, tuple[int, Callable[..., Any]]] = {
    **semantics.SCALARS,
    **doubles.SCALARS,
    **numerics.SCALARS,
    **moments.SCALARS,
    **binaries.SCALARS,
}


def register(connection: apsw.Connection) -> None:
    """Makes all of them known to the connection."""
    for name, (arguments, function) in SCALARS.items():
        connection.create_scalar_function(name, function, arguments, deterministic=True)
    for name, (step, end) in doubles.AGGREGATES.items():
        connection.create_aggregate_function(name, _factory(step, end), 1)
    connection.create_collation(numerics.COLLATION, numerics.compare)


def _factory(
    step: Callable[[doubles.ExactSum, Any], None], end: Callable[[doubles.ExactSum], Any]
) -> Callable[[], tuple[doubles.ExactSum, Callable[..., None], Callable[..., Any]]]:
    return lambda: (doubles.ExactSum(), step, end)
