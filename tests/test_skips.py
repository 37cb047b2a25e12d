"""A skip fails, unless it is listed with its reason."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path

import pytest

from tests import skips

SKIPPING_TEST = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_needs_a_server(n):
    pytest.skip("no server")
"""
SKIPPING_FILE = """
import pytest
pytest.importorskip("a_module_that_nobody_has")
"""
EXPECTED_FAILURE = """
import pytest

@pytest.mark.xfail
def test_fails():
    assert False
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Run one test file of a project of its own, which has the hooks of this one."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)

    def run_file(source: str, listed: str = "") -> pytest.RunResult:
        pytester.makeconftest(inspect.getsource(skips))
        pytester.path.joinpath("skips.toml").write_text(f"[skips]\n{listed}")
        pytester.makepyfile(test_it=source)
        return pytester.runpytest_subprocess("-p", "no:django", "-p", "no:randomly")

    return run_file


def test_a_skip_that_is_not_listed_fails(run):
    result = run(SKIPPING_TEST)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*skipped without a reason*no server*"])


def test_a_listed_skip_stays_a_skip(run):
    result = run(SKIPPING_TEST, '"test_it.py::test_needs_a_server" = "there is no server"')
    result.assert_outcomes(skipped=2)
    assert result.ret == 0


def test_a_listed_skip_without_a_reason_fails(run):
    run(SKIPPING_TEST, '"test_it.py::test_needs_a_server" = " "').assert_outcomes(failed=2)


def test_one_listed_parameter_does_not_cover_the_others(run):
    run(SKIPPING_TEST, '"test_it.py::test_needs_a_server[1]" = "why"').assert_outcomes(skipped=1, failed=1)


def test_a_file_that_is_skipped_as_a_whole_fails(run):
    result = run(SKIPPING_FILE)
    result.assert_outcomes(errors=1)
    assert result.ret != 0


def test_an_expected_failure_is_a_skip(run):
    run(EXPECTED_FAILURE).assert_outcomes(failed=1)
    run(EXPECTED_FAILURE, '"test_it.py::test_fails" = "known"').assert_outcomes(xfailed=1)


def test_every_listed_test_still_has_its_file():
    folder = Path(__file__).parent
    for node_id in tomllib.loads((folder / skips.FILE_NAME).read_text())["skips"]:
        assert (folder.parent / node_id.partition("::")[0]).exists(), f"{node_id} is listed, but its file is gone"
