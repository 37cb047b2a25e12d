"""From a client's text to one syntax tree: sqlglot parses; what it takes and PostgreSQL does not is refused here.

sqlglot is lenient (it takes other dialects' operators, clauses in any order, trailing commas). So tokens are looked at
first: only PostgreSQL's words and signs in PostgreSQL's places reach the parser. Grouping by precedence is checked
where expressions are translated.
*Invariants*: whatever style they had (`$1`, `?`, `:name`), parameters come out as `$1`..`$n`; styles do not mix.
*Left out*: everything outside the statements of `nodes.sql.plan`: refused by name.
"""

from __future__ import annotations

import logging
import re
from itertools import pairwise
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import SqlglotError
from sqlglot.parsers.postgres import PostgresParser
from sqlglot.tokenizer_core import Token, TokenType

from nodes.errors import BadRequest, NotSupported
from nodes.sql.locking import Locking, split_locking
from nodes.sql.names import identifier, syntax_error
from nodes.sql.words import REFUSED_STATEMENTS

MAX_PARAMETERS = 32_000


class UnaryPlus(exp.Unary):
    """`+ a`, of which sqlglot leaves no trace; PostgreSQL names and types it as an operator."""


def _unary_plus(parser: Any) -> exp.Expr:
    operand = parser._parse_unary()
    if operand is None:
        raise syntax_error('at or near "+"')
    return UnaryPlus(this=operand)


class _PostgresWithParameters(Postgres):
    """Without dollar quoting, which sqlglot sees in `($1, 'a', $2)` too; it is refused."""

    class Parser(PostgresParser):
        UNARY_PARSERS = {**PostgresParser.UNARY_PARSERS, TokenType.PLUS: _unary_plus}

    class Tokenizer(Postgres.Tokenizer):
        HEREDOC_STRINGS = []
        SINGLE_TOKENS = {**Postgres.Tokenizer.SINGLE_TOKENS, "$": TokenType.PARAMETER}


logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of statements that are refused here, with words

_POSTGRES = _PostgresWithParameters()

_STATEMENTS = {"select", "insert", "update", "delete", "create", "alter", "drop"}
_DDL = {"create", "alter", "drop"}
_DDL_WORDS = {"table", "add", "column", "exists", "only", "constraint"}  # a name follows
_SIGNS = {
    "(", ")", ",", ".", "+", "-", "*", "/", "%", "=", "<>", "!=", "<", "<=", ">", ">=", "||", "::", ";", "?", ":",
    "$",
}  # fmt: skip
_GLUED = {"%", "||", "!="}
_CLAUSES = {"from": 1, "where": 2, "group": 3, "having": 4, "order": 5, "limit": 6, "offset": 6, "returning": 7}
_TEST_ENDS = {
    "and", "or", ",", "as", "when", "then", "else", "where", "group by", "having", "order by", "limit", "offset",
    "returning",
}  # fmt: skip
_AFTER_NO_COMMA = {")", ",", *_CLAUSES}
_NO_CLAUSE_AFTER = {"distinct", "as", ".", "delete"}
_TYPE_WORDS = {
    "int", "integer", "int4", "bigint", "int8", "text", "boolean", "bool", "double precision", "float8", "float",
    "bytea", "uuid", "timestamptz", "timestamp", "numeric", "decimal", "dec",
}  # fmt: skip
_QUOTED = {TokenType.STRING, TokenType.IDENTIFIER}
_OPERAND_ENDS = {*_QUOTED, TokenType.VAR, TokenType.NUMBER, TokenType.R_PAREN, TokenType.NULL}
_TYPE_TOKENS = {
    TokenType.INT, TokenType.BIGINT, TokenType.TEXT, TokenType.BOOLEAN, TokenType.DOUBLE, TokenType.VARBINARY,
    TokenType.UUID, TokenType.TIMESTAMPTZ, TokenType.TIMESTAMP, TokenType.DECIMAL,
}  # fmt: skip
_FOREIGN_LITERALS = {
    TokenType.RAW_STRING, TokenType.BYTE_STRING, TokenType.BIT_STRING, TokenType.HEX_STRING,
    TokenType.NATIONAL_STRING, TokenType.UNICODE_STRING,
}  # fmt: skip
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[^\W\d][\w$]*", re.ASCII)


class Parsed(NamedTuple):
    """`text` has `$n` parameters; `names` are those of `:name` parameters in order of first use (None: a list)."""

    text: str
    tree: exp.Expr
    parameters: int
    names: list[str] | None
    shard_by: list[str] | None
    locking: Locking | None


def parse(text: str) -> Parsed:
    """One statement as a tree; 42601 for bad syntax, 0A000 for what is not supported, 22021 for a NUL."""
    if "\0" in text:
        raise BadRequest("the statement holds a NUL character", sqlstate="22021")
    tokens = _one_statement(_tokens(text))
    _check_tokens(text, tokens)
    text, names, count, renumbered = _number_parameters(text, tokens)
    if renumbered:
        tokens = _one_statement(_tokens(text))
    text, tokens, shard_by = _split_shard_by(text, tokens)
    tokens, locking = split_locking(tokens)
    try:
        trees = _POSTGRES.parser().parse(tokens, text)
    except (SqlglotError, RecursionError) as error:
        if any(token.text.lower() in ("isnull", "notnull") for token in tokens):
            raise NotSupported("ISNULL or NOTNULL in this place") from error
        raise syntax_error(str(error).partition("\n")[0]) from error
    if len(trees) != 1 or trees[0] is None:
        raise NotSupported("several statements in one text")
    return Parsed(text, trees[0], count, names, shard_by, locking)


def _tokens(text: str) -> list[Token]:
    try:
        return list(_POSTGRES.tokenize(text))
    except SqlglotError as error:
        raise syntax_error(str(error).partition("\n")[0]) from error


def _one_statement(tokens: list[Token]) -> list[Token]:
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise syntax_error("the statement is empty")
    if any(token.token_type is TokenType.SEMICOLON for token in tokens):
        raise NotSupported("several statements in one text")
    word = tokens[0].text.lower()
    if word in REFUSED_STATEMENTS or word == "(":
        raise NotSupported(f"{word.upper()} as a statement" if word != "(" else "a statement in parentheses")
    if word not in _STATEMENTS:
        raise syntax_error(f'at or near "{tokens[0].text}"')
    return tokens


def _check_tokens(text: str, tokens: list[Token]) -> None:
    for token in tokens:
        _check_token(text, token)
    for left, right in pairwise(tokens):
        _check_neighbours(left, right)
    _check_types(tokens)
    _check_not_null(tokens)
    _check_beginning(tokens)
    _check_distinct_from(tokens)
    _check_clause_order(tokens)


def _check_token(text: str, token: Token) -> None:
    kind = token.token_type
    if kind in (TokenType.STRING, TokenType.IDENTIFIER):
        if kind is TokenType.IDENTIFIER and (text[token.start] != '"' or not token.text):
            raise syntax_error(f"a quoted identifier at {text[token.start : token.end + 1]!r:.40}")
    elif kind is TokenType.NUMBER:
        if _NUMBER.fullmatch(token.text) is None:
            raise NotSupported(f"the number {token.text:.40}")
    elif kind in _FOREIGN_LITERALS:
        raise NotSupported(f"the literal {text[token.start : token.end + 1]:.40}")
    elif token.text not in _SIGNS and not token.text.replace("$", "").replace("_", "a").isalnum():
        _check_words(token.text)


def _check_words(text: str) -> None:
    """sqlglot makes one token of some pairs of words (ORDER BY); anything else here is a foreign sign."""
    if not all(_WORD.fullmatch(word) for word in text.split()):
        raise NotSupported(f'the operator or sign "{text:.20}"')


def _check_neighbours(left: Token, right: Token) -> None:
    adjacent = left.end + 1 == right.start
    if left.token_type is right.token_type is TokenType.STRING:
        raise syntax_error(f'at or near "{right.text:.40}"')
    if adjacent and left.token_type is TokenType.NUMBER and (right.text[0].isalnum() or right.text[0] == "_"):
        raise syntax_error(f'trailing junk after "{left.text}"')
    if adjacent and left.text in _GLUED and right.text[0] in "+-*/<>=%|!":
        raise BadRequest(f"operator does not exist: {left.text}{right.text}", sqlstate="42883")
    if adjacent and left.text == "." and right.token_type is TokenType.NUMBER:
        raise NotSupported(f"the number .{right.text:.40}: write a digit before the point")
    if left.text == "," and right.token_type not in _QUOTED and _first_word(right) in _AFTER_NO_COMMA:
        raise syntax_error(f'at or near "{right.text}"')
    if left.text.lower() in ("is", "not") and right.text.lower() == "unknown":
        raise NotSupported("IS UNKNOWN")


def _check_types(tokens: list[Token]) -> None:
    """Names of types that only other dialects have, where a type stands; anywhere else they are names like others."""
    is_ddl = tokens[0].text.lower() in _DDL
    casts = [False]  # for each nesting, whether it is CAST's
    for previous, token, following in zip([tokens[0], *tokens], tokens, [*tokens[1:], tokens[-1]], strict=False):
        before = previous.text.lower()
        if token.text == "(":
            casts.append(before == "cast")
        elif token.text == ")":
            casts = casts[:-1] or [False]
        is_type = before == "::" or (before == "as" and casts[-1]) or following.token_type is TokenType.STRING
        is_type = is_type or (is_ddl and before not in _SIGNS and before not in _DDL_WORDS)
        word = " ".join(token.text.lower().split())
        if is_type and token.token_type in _TYPE_TOKENS and word not in _TYPE_WORDS:
            raise BadRequest(f'type "{word}" does not exist', sqlstate="42704")


def _check_not_null(tokens: list[Token]) -> None:
    """`a NOT NULL` is a constraint in a DDL statement, and no PostgreSQL anywhere else."""
    if tokens[0].text.lower() in _DDL:
        return
    for operand, token, null in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (token.text.lower(), null.text.lower()) == ("not", "null") and operand.token_type in _OPERAND_ENDS:
            raise syntax_error(f'at or near "{token.text}"')


def _first_word(token: Token) -> str:
    """The first of the words that sqlglot made one token of (ORDER BY), lower case."""
    return token.text.lower().partition(" ")[0]


def _check_beginning(tokens: list[Token]) -> None:
    words = [token.text.lower() for token in tokens[:2]]
    wanted = {"insert": "into", "delete": "from"}.get(words[0])
    if wanted is not None and words[1:] != [wanted]:
        raise syntax_error(f'"{words[0]}" without "{wanted}"')
    if words[0] in _DDL and words[1:] != ["table"]:
        raise NotSupported(" ".join(words).upper())
    if tokens[-1].text == ",":
        raise syntax_error("at end of input")


def _check_distinct_from(tokens: list[Token]) -> None:
    """`a IS DISTINCT FROM b IS NULL` is no PostgreSQL; sqlglot would put parentheses of its own around it."""
    ends = ["(open)"]  # for each nesting, whether a test has begun that nothing may chain to
    for previous, token in pairwise(tokens):
        word = "" if token.token_type in _QUOTED else token.text.lower()
        if word in ("(", "case"):
            ends.append("(open)")
        elif word in (")", "end"):
            ends.pop()
            ends = ends or ["(open)"]
        elif word == "from" and previous.text.lower() == "distinct":
            ends[-1] = "distinct"
        elif word in ("is", "isnull", "notnull") and ends[-1] == "distinct":
            raise syntax_error(f'at or near "{token.text}"')
        elif word in _TEST_ENDS:
            ends[-1] = "(open)"


def _check_clause_order(tokens: list[Token]) -> None:
    """Clauses come in PostgreSQL's order, each at most once (LIMIT and OFFSET in either)."""
    depth, last, seen = 0, 0, set()
    for previous, token in pairwise(tokens):
        depth += 0 if token.token_type in _QUOTED else (token.text == "(") - (token.text == ")")
        word = _first_word(token)
        rank = _CLAUSES.get(word, 0)
        if depth or not rank or token.token_type in _QUOTED or _first_word(previous) in _NO_CLAUSE_AFTER:
            continue
        if rank < last or word in seen:
            raise syntax_error(f'at or near "{token.text}"')
        last = rank
        seen.add(word)


def _number_parameters(text: str, tokens: list[Token]) -> tuple[str, list[str] | None, int, bool]:
    """The text with `$n` for every parameter; names, number of parameters, whether the text was changed."""
    found = [(kind, token, value) for kind, token, value in _parameters(tokens)]
    styles = {kind for kind, _, _ in found}
    if len(styles) > 1:
        raise syntax_error("parameters of different styles in one statement")
    if not styles or styles == {"$"}:
        return text, None, max((int(value) for _, _, value in found), default=0), False
    names: list[str] = []
    pieces, end = [], 0
    for number, (kind, token, value) in enumerate(found, 1):
        if kind == ":" and value not in names:
            names.append(value)
        index = names.index(value) + 1 if kind == ":" else number
        pieces += [text[end : token.start], f" ${index} "]
        end = token.end + 1 + (len(value) if kind == ":" else 0)
    changed = "".join(pieces) + text[end:]
    return (changed, names, len(names), True) if styles == {":"} else (changed, None, len(found), True)


def _parameters(tokens: list[Token]) -> list[tuple[str, Token, str]]:
    """(style, token, number or name) of each parameter."""
    found = []
    for position, token in enumerate(tokens):
        if token.text == "?" and token.token_type is TokenType.PLACEHOLDER:
            found.append(("?", token, ""))
        elif token.text in ("$", ":") and token.token_type not in _QUOTED:
            value = tokens[position + 1] if position + 1 < len(tokens) else token
            fits = value.text.isdigit() if token.text == "$" else _WORD.fullmatch(value.text) is not None
            if token.text == "$" and value.start == token.end + 1 and not value.text[:1].isdigit():
                raise NotSupported("dollar-quoted text")
            if value.start != token.end + 1 or not fits or value.token_type in _QUOTED or len(value.text) > 63:
                raise syntax_error(f'at or near "{token.text}"')
            if token.text == "$" and not 1 <= int(value.text) <= MAX_PARAMETERS:
                raise BadRequest(f"there is no parameter ${value.text:.20}", sqlstate="42P02")
            found.append((token.text, token, value.text))
    return found


def _split_shard_by(text: str, tokens: list[Token]) -> tuple[str, list[Token], list[str] | None]:
    """`SHARD BY (a, b)` at the end of CREATE TABLE is taken off: tokens without it, and its column names."""
    if tokens[0].text.lower() != "create":
        return text, tokens, None
    for position in range(2, len(tokens) - 1):
        pair = [token.text.lower() for token in tokens[position : position + 2]]
        if pair == ["shard", "by"] and tokens[position - 1].text == ")":
            return text, tokens[:position], _column_list(tokens[position + 2 :])
    return text, tokens, None


def _column_list(tokens: list[Token]) -> list[str]:
    """The names of `( a , b )`, folded."""
    inner = tokens[1:-1]
    signs = [token.text for token in (tokens[0], *inner[1::2], tokens[-1])] if len(tokens) > 2 else []
    if not signs or signs != ["(", *[","] * (len(inner) // 2), ")"] or len(inner) % 2 == 0:
        raise syntax_error("SHARD BY takes a list of columns in parentheses")
    return [identifier(token.text, token.token_type is TokenType.IDENTIFIER) for token in inner[::2]]
