"""The end of a SELECT that locks what it finds: FOR UPDATE, FOR SHARE, with NOWAIT or SKIP LOCKED.

sqlglot takes other dialects' forms of it too, in any place; so PostgreSQL's is read here, from the tokens.
*Left out*: FOR NO KEY UPDATE and FOR KEY SHARE, which are for foreign keys; FOR READ ONLY; several in one statement
(0A000).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from sqlglot.tokenizer_core import Token, TokenType

from nodes.errors import NotSupported
from nodes.sql.names import identifier, syntax_error
from nodes.sql.schema import NOWAIT, SKIP_LOCKED, WAIT

_QUOTED = {TokenType.STRING, TokenType.IDENTIFIER}


class Locking(NamedTuple):
    """FOR UPDATE (`mode` X) or FOR SHARE (S) at the end of a SELECT; `of` are the tables that it names."""

    mode: str
    wait: int
    of: list[str]

    @property
    def words(self) -> str:
        return "FOR UPDATE" if self.mode == "X" else "FOR SHARE"


def split_locking(tokens: list[Token]) -> tuple[list[Token], Locking | None]:
    """FOR UPDATE and its like, which stand behind everything or before LIMIT and OFFSET, are taken off a SELECT."""
    depth, bound_before = 0, False
    for position, (previous, token) in enumerate(pairwise(tokens), 1):
        word = _word(token)
        depth += (word == "(") - (word == ")")
        if depth or tokens[0].text.lower() != "select" or previous.text.lower() in ("as", "."):
            continue
        bound_before = bound_before or word in ("limit", "offset")
        if word == "for":
            locking, length = _locking(tokens[position + 1 :])
            rest = tokens[position + 1 + length :]
            follows = _word(rest[0]) if rest else ""
            if follows == "for":
                raise NotSupported("several FOR UPDATE or FOR SHARE in one statement")
            if rest and (follows not in ("limit", "offset") or bound_before):
                raise syntax_error(f'at or near "{rest[0].text}"')
            return tokens[:position] + rest, locking
    return tokens, None


def _locking(tokens: list[Token]) -> tuple[Locking, int]:
    """What stands behind FOR, and how many tokens of it there are."""
    words = ["" if token.token_type in _QUOTED else token.text.lower() for token in tokens]
    for strength in ("no key update", "key share", "read only"):
        if " ".join(words).startswith(strength):
            raise NotSupported(f"FOR {strength.upper()}")
    if words[:1] not in (["update"], ["share"]):
        raise syntax_error('at or near "for"')
    of: list[str] = []
    length = 1
    while words[length : length + 1] == [("of", ",")[length > 1]]:
        if length + 1 == len(tokens):
            raise syntax_error("at end of input")
        name = tokens[length + 1]
        of.append(identifier(name.text, name.token_type is TokenType.IDENTIFIER))
        length += 2
    if words[length : length + 1] == ["."]:
        raise syntax_error("FOR UPDATE and FOR SHARE must specify unqualified relation names")
    wait = WAIT
    if words[length : length + 1] == ["nowait"]:
        wait, length = NOWAIT, length + 1
    elif words[length : length + 2] == ["skip", "locked"]:
        wait, length = SKIP_LOCKED, length + 2
    return Locking("X" if words[0] == "update" else "S", wait, of), length


def _word(token: Token) -> str:
    """The first of the words that sqlglot made one token of, lower case; "" of what is quoted."""
    return "" if token.token_type in _QUOTED else token.text.lower().partition(" ")[0]
