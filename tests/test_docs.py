"""The documents name what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from monitoring.rules import CHECKS, TITLES
from monitoring.selfcheck.checker.anomalies import MEANINGS
from monitoring.selfcheck.run import WORKLOADS
from nodes import errors
from nodes.core.txn import steps
from nodes.errors import StoreError
from nodes.runtime import activity

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


def test_each_step_of_a_transaction_and_each_kind_of_change_has_its_words() -> None:
    rows = set(re.findall(r"^\| `([a-z ]+)` \|", (DOCS / "admin.md").read_text(), re.MULTILINE))
    assert set(steps.DETAILS) == rows
    kinds = {value for name, value in vars(activity).items() if name.isupper() and isinstance(value, str)}
    (told,) = re.findall(r"Kinds: (.*?) \|", (DOCS / "operations.md").read_text())
    assert set(re.findall(r"`([a-z ]+)`", told)) == kinds


def test_each_error_stands_in_the_table_with_its_status_and_class() -> None:
    text = (DOCS / "errors.md").read_text()
    for cls in store_error_classes():
        assert f"| [{cls.code}](#{cls.code}) | {cls.status} | `{cls.__name__}` |" in text


def sections(document: str) -> dict[str, str]:
    """Heading of the third level -> the text below it."""
    parts = re.split(r"^### (.+)$", (DOCS / document).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_each_check_has_its_heading_and_no_other_has_one() -> None:
    assert set(sections("monitoring.md")) == set(TITLES)


def test_each_threshold_of_a_check_has_its_row_with_its_default_and_no_other_has_one() -> None:
    for name, text in sections("monitoring.md").items():
        rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", text, re.MULTILINE))
        thresholds = CHECKS[name]().thresholds() if name in CHECKS else {}
        assert rows == {threshold: f"{default:g}" for threshold, default in thresholds.items()}, name
        assert "What to do:" in text, name


def test_each_workload_and_each_anomaly_of_the_self_check_has_its_row() -> None:
    section = (DOCS / "operations.md").read_text().partition("## Self-check\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\w, -]+) \|", section, re.MULTILINE)
    named = {name for row in rows for name in row.split(", ")}
    assert set(WORKLOADS) | set(MEANINGS) <= named


def test_each_variable_of_the_front_has_its_row() -> None:
    code = (DOCS.parent / "txstore" / "environment.py").read_text()
    variables = set(re.findall(r'environment\.get\("(\w+)"\)', code))
    rows = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "operations.md").read_text(), re.MULTILINE))
    assert variables
    assert variables <= rows
