"""What docs/sql.md says is answered and what refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nodes.errors import NotSupported
from nodes.sql.ddl import SYSTEM_TABLE
from tests.sql.store import Store

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sql( refused)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def statements(refused: bool) -> list[str]:
    blocks = [text for mark, text in BLOCKS if bool(mark) is refused]
    return [statement.strip() for text in blocks for statement in re.split(r";\n", text) if statement.strip()]


def test_what_is_shown_is_answered():
    store = Store()
    given = [store.execute(sql) for sql in statements(refused=False)]
    assert len(given) > 10
    assert sum(result.row_count for result in given) == 18
    assert list(store.tables) == [SYSTEM_TABLE.name]


@pytest.mark.parametrize("sql", statements(refused=True))
def test_what_is_said_to_be_refused_is(sql):
    with pytest.raises(NotSupported) as caught:
        Store().execute(sql)
    assert caught.value.info.sqlstate == "0A000"
