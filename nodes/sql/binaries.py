"""BYTEA and UUID: what their text means, as PostgreSQL 15 reads and writes it. NULL in gives NULL out.

In the engine a BYTEA is a blob, a UUID its canonical text (lower case, five groups), which sorts as its 16 bytes do.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from nodes.errors import BadRequest
from nodes.sql.semantics import SqlError

_HEX_PAIRS = re.compile(r"(?:[0-9a-fA-F]{2}|[ \t\n\r])*")
_ESCAPES = re.compile(rb"\\(\\|[0-3][0-7]{2})?")
_UUID = re.compile(r"(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}")


def text_to_bytes(text: str | None) -> bytes | None:
    """Hexadecimal behind `\\x`, else bytes with `\\\\` and octal escapes; 22P02, 22023."""
    if text is None:
        return None
    if not text.startswith("\\x"):
        return _ESCAPES.sub(_unescaped, text.encode())
    digits = text[2:]
    if _HEX_PAIRS.fullmatch(digits) is None:
        odd = re.search(r"[^0-9a-fA-F \t\n\r]", digits)
        if odd is not None:
            raise SqlError("22023", f'invalid hexadecimal digit: "{odd[0]}"')
        raise SqlError("22023", "invalid hexadecimal data: odd number of digits")
    return bytes.fromhex(digits)


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        raise SqlError("22P02", "invalid input syntax for type bytea")
    return b"\\" if found[1] == b"\\" else bytes([int(found[1], 8)])


def bytes_to_text(value: bytes | None) -> str | None:
    return None if value is None else "\\x" + value.hex()


def from_base64(text: str) -> bytes:
    """What JSON carries; BadRequest (22P02)."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"a parameter of type bytea takes base64: {error}", sqlstate="22P02") from error


def text_to_uuid(text: str | None) -> str | None:
    """32 digits, a hyphen allowed after every four, perhaps in braces; 22P02."""
    if text is None:
        return None
    inner = text[1:-1] if text[:1] == "{" and text[-1:] == "}" else text
    if _UUID.fullmatch(inner) is None:
        raise SqlError("22P02", f'invalid input syntax for type uuid: "{text}"')
    digits = inner.replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def joined(left: bytes | None, right: bytes | None) -> bytes | None:
    """SQLite's own || gives text."""
    return None if left is None or right is None else left + right


SCALARS: dict[str, tuple[int, Callable[..., Any]]] = {
    "pg_text_to_bytes": (1, text_to_bytes),
    "pg_bytes_to_text": (1, bytes_to_text),
    "pg_bytes_joined": (2, joined),
    "pg_text_to_uuid": (1, text_to_uuid),
}
