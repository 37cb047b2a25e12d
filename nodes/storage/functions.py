"""The SQL functions that every apsw connection needs before it runs SQL of a plan (DESIGN.md §6).

What they mean is `nodes.sql.semantics`. What they raise comes out of the connection as it is: a `StoreError`.
"""

from __future__ import annotations

import apsw

from nodes.sql.semantics import FUNCTIONS, SqlError

__all__ = ["SqlError", "register"]


def register(connection: apsw.Connection) -> None:
    """Makes all functions known to the connection; deterministic, so CHECK constraints may use them too."""
    for name, (arguments, function) in FUNCTIONS.items():
        connection.create_scalar_function(name, function, arguments, deterministic=True)
