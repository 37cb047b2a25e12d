"""The documents name what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from nodes import errors
from nodes.errors import StoreError

DOCS = Path(__file__).parent.parent / "docs"


def headings(document: str) -> set[str]:
    """The words of every heading below the title."""
    return set(re.findall(r"^##+ (.+)$", (DOCS / document).read_text(), re.MULTILINE))


def store_error_classes() -> list[type[StoreError]]:
    return [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, StoreError)]


def test_each_error_code_of_the_store_has_its_heading() -> None:
    assert {cls.code for cls in store_error_classes()} <= headings("errors.md")


def test_each_error_code_of_the_api_has_its_heading_and_no_other_has_one() -> None:
    from txstore.api.errors import TABLE

    assert set(TABLE) == headings("errors.md")


def test_each_error_stands_in_the_table_with_its_status_and_class() -> None:
    text = (DOCS / "errors.md").read_text()
    for cls in store_error_classes():
        assert f"| [{cls.code}](#{cls.code}) | {cls.status} | `{cls.__name__}` |" in text
