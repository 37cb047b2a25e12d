"""Interactive transactions: what their requests say, and what they are told in JSON.

*Invariant*: nothing in a request is ignored (serializers.py).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from nodes.errors import BadRequest, NotFound
from nodes.requests import ABORTED, ACTIVE, Begun, Result, Statement
from txstore.api.serializers import (
    INTERACTIVE,
    ONE_SHOT,
    read_statements,
    read_timeout_ms,
    refuse_unknown_fields,
    result_to_json,
    time_to_json,
)

AGE_PATTERN = "^[0-9a-f]{40}$"
NAME_PATTERN = "^[A-Za-z_][A-Za-z0-9_]{0,62}$"


def is_interactive(data: Any) -> bool:
    """By the `mode` of the body; BadRequest for another one."""
    mode = data.get("mode", ONE_SHOT) if isinstance(data, dict) else ONE_SHOT
    if mode not in (ONE_SHOT, INTERACTIVE):
        raise BadRequest(f'"mode" must be "{ONE_SHOT}" or "{INTERACTIVE}".')
    return bool(mode == INTERACTIVE)


def read_begin(data: Any, key: str) -> tuple[str, float]:
    """The age that the transaction shall have ("" for a new one), and how many seconds may be waited."""
    if key:
        raise BadRequest("An interactive transaction takes no Idempotency-Key: its id tells its fate.")
    refuse_unknown_fields(data, {"mode", "age", "timeout_ms"}, "The beginning of an interactive transaction")
    age = data.get("age", "")
    if "age" in data and not (isinstance(age, str) and re.fullmatch(AGE_PATTERN, age)):
        raise BadRequest('"age" must be what an error named: 40 characters, hexadecimal.')
    return age, read_timeout_ms(data) / 1000


def read_steps(data: Any) -> tuple[list[Statement], float]:
    """The statements to run, and how many seconds they may take."""
    refuse_unknown_fields(data, {"statements", "timeout_ms"}, "The request")
    return read_statements(data), read_timeout_ms(data) / 1000


def read_savepoint(data: Any) -> str:
    """The name of a savepoint to make."""
    refuse_unknown_fields(data, {"name"}, "The request")
    name = data.get("name")
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
        raise BadRequest('"name" must be 1 to 63 letters, digits and underscores, and no digit first.')
    return name


def read_name(text: str) -> str:
    """The name of a savepoint in a path; NotFound for what is none."""
    if not re.fullmatch(NAME_PATTERN, text):
        raise NotFound(f"There is no savepoint {text[:80]!r}.")
    return text


def begun_to_json(begun: Begun) -> dict[str, Any]:
    """`expires_at`: it is rolled back then, if nothing is asked in it before."""
    left = timedelta(milliseconds=min(begun.idle_ms, begun.lives_ms))
    return {
        "id": begun.id,
        "state": ACTIVE,
        "expires_at": time_to_json(datetime.now(UTC) + left),
        "idle_ms": begun.idle_ms,
        "lives_ms": begun.lives_ms,
    }


def ran_to_json(id: str, results: list[Result]) -> dict[str, Any]:
    return {**open_to_json(id), "results": [result_to_json(result) for result in results]}


def open_to_json(id: str) -> dict[str, Any]:
    return {"id": id, "state": ACTIVE}


def rolled_back_to_json(id: str) -> dict[str, Any]:
    return {"id": id, "state": ABORTED}
