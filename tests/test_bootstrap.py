"""What is missing is named with the line that brings it, before anything is changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tidy import ROOT

SCRIPT = "txstore/bootstrap.sh"
TOO_OLD = "exit 1"
WITHOUT_VENV = 'case "$2" in *ensurepip*) exit 1 ;; esac'
GOOD = "exit 0"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout, and beside it a folder with the only programs that the script finds."""
    shutil.copytree(ROOT / "txstore", tmp_path / "checkout" / "txstore", ignore=shutil.ignore_patterns("*.py"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "system").mkdir()
    for name in ("sh", "dirname"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    return tmp_path


def fake(project: Path, name: str, code: str, folder: str = "bin") -> None:
    program = project / folder / name
    program.write_text(f"#!/bin/sh\n{code}\n")
    program.chmod(0o755)


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(project / "checkout" / SCRIPT), *arguments],
        env={**os.environ, "PATH": str(project / "bin"), "SYSTEM_PYTHON": str(project / "system" / "python3")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["python", "venv"])
@pytest.mark.parametrize(
    ("python", "line"),
    [
        (None, "apt-get install python3 python3-venv"),
        (TOO_OLD, "apt-get install python3 python3-venv"),
        (WITHOUT_VENV, "apt-get install python3-venv"),
    ],
)
def test_a_python_that_will_not_do_is_named_and_nothing_is_made(project, command, python, line):
    if python:
        fake(project, "python3", python)
    result = run(project, command)
    assert result.returncode == 2
    assert line in result.stderr
    assert not (project / "checkout" / ".venv").exists()


def test_a_newer_python_beside_an_old_one_is_found(project):
    fake(project, "python3", TOO_OLD)
    fake(project, "python3.12", GOOD)
    assert run(project, "python").returncode == 0


def named_by(python: str) -> str:
    """What makes a virtual environment says which it is."""
    return f'case "$1" in -V) echo {python} ;; -m) exit 1 ;; esac'


@pytest.mark.parametrize(
    ("system", "taken"), [("", "system"), (TOO_OLD, "path"), (WITHOUT_VENV, "path"), (None, "path")]
)
def test_the_systems_python_is_taken_if_it_will_do(project, system, taken):
    if system is not None:
        fake(project, "python3", f"{system}\n{named_by('system')}", "system")
    fake(project, "python3", named_by("path"))
    assert f"Making .venv with {taken}\n" in run(project, "venv").stdout


def test_packages_that_are_there_need_nobody(project):
    fake(project, "dpkg-query", "printf 'install ok installed'")
    assert run(project, "packages", "strace", "postgresql-15").returncode == 0


def test_who_is_not_root_is_told_what_is_missing(project):
    fake(project, "dpkg-query", """case "$3" in strace) printf 'install ok installed' ;; *) exit 1 ;; esac""")
    fake(project, "apt-get", f"touch {project}/called")
    fake(project, "id", "echo 1000")
    result = run(project, "packages", "strace", "postgresql-15")
    assert result.returncode == 2
    assert "sudo apt-get install --no-install-recommends postgresql-15\n" in result.stderr
    assert not (project / "called").exists()


def test_a_system_without_apt_is_told_too(project):
    result = run(project, "packages", "strace")
    assert result.returncode == 2
    assert "strace" in result.stderr
