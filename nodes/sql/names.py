"""Names as PostgreSQL reads them, and what is said of text that it does not read."""

from __future__ import annotations

from nodes.errors import BadRequest, NotSupported
from nodes.sql.words import RESERVED_WORDS, VALUE_WORDS


def syntax_error(message: str) -> BadRequest:
    return BadRequest(f"syntax error: {message}", sqlstate="42601")


def identifier(name: str, quoted: bool) -> str:
    """A name as PostgreSQL keeps it: folded unless quoted, cut at 63 bytes; reserved words are refused."""
    if not quoted:
        if not all(character.isalnum() or character in "_$" for character in name) or name[0].isdigit():
            raise syntax_error(f'at or near "{name:.63}"')
        name = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)
        if name in VALUE_WORDS:
            raise NotSupported(name.upper())
        if name in RESERVED_WORDS:
            raise syntax_error(f'at or near "{name}"')
    if len(name) > 15 and len(name.encode()) > 63:
        name = name.encode()[:63].decode(errors="ignore")
    return name
