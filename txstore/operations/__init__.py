"""The verbs of `manage.py cluster`: a module for each.

A module `rotate_token` is the verb `rotate-token`. Its docstring is the verb's help; `add_arguments(parser)`, if it has
one, says what the verb takes; `run(console, **arguments)` does it, and raises CommandError or a class of `nodes.errors`
when it could not.
"""

from __future__ import annotations

from argparse import ArgumentTypeError


def node_number(text: str) -> int:
    """`n2` or `2`, as an argument of a verb."""
    digits = text.removeprefix("n")
    if not digits.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no node: they are called n1, n2 and so on")
    return int(digits)
