"""A skip is a failure, unless tests/skips.toml lists the test with a reason. An expected failure counts as a skip.

The file holds `"node id" = "reason"` pairs in the table `[skips]`; the id of a test without its parameters covers all
of them, and a file's id covers a file that is skipped as a whole.
"""

from __future__ import annotations

import tomllib
from collections.abc import Generator

import pytest

FILE_NAME = "skips.toml"


def listed_skips(config: pytest.Config) -> dict[str, str]:
    """Node id -> reason, from the tests folder of this run."""
    for folder in (config.rootpath / "tests", config.rootpath):
        if (folder / FILE_NAME).exists():
            return {str(k): str(v) for k, v in tomllib.loads((folder / FILE_NAME).read_text())["skips"].items()}
    return {}


def is_listed(node_id: str, listed: dict[str, str]) -> bool:
    """Is the test, or the test without its parameters, in the list with a reason?"""
    return any(listed.get(name, "").strip() for name in (node_id, node_id.partition("[")[0]))


def _refuse(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    if report.skipped and not is_listed(report.nodeid, listed_skips(config)):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} is skipped without a reason in tests/{FILE_NAME}: {why}"
        # Otherwise pytest still counts it as an expected failure.
        vars(report).pop("wasxfail", None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse(report, item.config)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse(report, collector.config)
    return report
