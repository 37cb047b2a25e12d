"""The house rules hold for every file, and each check can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tidy


def complaints(check, paths: list[Path]) -> list[str]:
    return [f"{path.relative_to(tidy.ROOT)}: {words}" for path in paths for words in check(path)]


def test_every_file_and_function_is_short():
    paths = tidy.source_files()
    assert complaints(lambda path: tidy.too_long(path.read_text()), paths) == []
    assert complaints(lambda path: tidy.long_functions(path.read_text()), paths) == []


def test_imports_go_down():
    def check(path: Path) -> list[str]:
        return tidy.wrong_imports(path.read_text(), tidy.module_name(path), path.name == "__init__.py")

    assert complaints(check, tidy.source_files()) == []


def test_no_test_sleeps_outside_e2e():
    assert complaints(lambda path: tidy.sleeps(path.read_text(), tidy.module_name(path)), tidy.source_files()) == []


def test_nothing_unfinished_and_no_path_of_one_machine_is_left():
    others = [path for path in tidy.text_files() if path.name not in ("tidy.py", "test_tidy.py")]
    assert complaints(lambda path: tidy.unfinished(path.read_text()), others) == []
    assert complaints(lambda path: tidy.machine_paths(path.read_text()), others) == []


def test_every_link_of_the_docs_leads_somewhere():
    pages = [path for path in tidy.text_files() if path.suffix == ".md"]
    assert complaints(lambda path: tidy.dead_links(path.read_text(), path), pages) == []


def test_every_module_stands_on_a_floor():
    assert [path for path in tidy.source_files() if tidy.floor_of(tidy.module_name(path)) is None] == []


def test_a_long_file_and_a_long_function_are_found():
    assert tidy.too_long("x = 1\n" * 400) == []
    assert tidy.too_long("x = 1\n" * 401) == ["401 lines, at most 400"]
    assert tidy.long_functions("class A:\n  def f(self):\n" + "    x = 1\n" * 49) == []
    assert tidy.long_functions("class A:\n  def f(self):\n" + "    x = 1\n" * 50) == ["f has 51 lines, at most 50"]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("nodes.ids", "from nodes.core import quorum"),
        ("nodes.core.quorum", "import nodes.wire.codec"),
        ("nodes.core.quorum", "from nodes import storage"),
        ("nodes.core.quorum", "from ..storage import engine"),
        ("nodes.wire.codec", "from nodes.runtime.config import Config"),
        ("nodes.runtime.node", "def f():\n    from nodes.client import Cluster"),
        ("nodes.client.cluster", "from nodes.runtime import node"),
        ("nodes.runtime.node", "import django.db"),
        ("nodes.client.cluster", "from django.conf import settings"),
        ("nodes.client.cluster", "import txstore.settings"),
        ("nodes.storage.journal", "import asyncio"),
        ("nodes.core.quorum", "from asyncio import Queue"),
        ("txstore.api.views", "import asyncio"),
        ("txstore.api.views", "from nodes.runtime.node import Node"),
        ("monitoring.rules", "from txstore.home import Home"),
        ("monitoring.selfcheck.checker.lists", "from nodes.errors import HAPPENED"),
        ("monitoring.selfcheck.checker.lists", "from django.conf import settings"),
        ("nodes.runtime.node", "import pickle"),
    ],
)
def test_an_import_that_goes_up_or_is_forbidden_is_found(module, line):
    assert tidy.wrong_imports(line, module) != []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("nodes.core.quorum", "from nodes.ids import home_of"),
        ("nodes.core.raft.log", "from . import messages"),
        ("nodes.storage.journal", "from nodes.core import effects"),
        ("nodes.runtime.node", "import asyncio"),
        ("nodes.client.aio", "import asyncio"),
        ("txstore.api.views", "from nodes.client import Cluster"),
        ("txstore.api.views", "import asyncio_like_name"),
        ("tests.sim.world", "import asyncio"),
    ],
)
def test_an_import_that_goes_down_is_fine(module, line):
    assert tidy.wrong_imports(line, module) == []


def test_a_sleep_is_found_but_not_in_e2e():
    assert tidy.sleeps("import time\ntime.sleep(1)", "tests.core.test_locks") == ["line 2 sleeps"]
    assert tidy.sleeps("import time\ntime.sleep(1)", "tests.e2e.test_up") == []


def test_what_is_left_over_is_found():
    assert tidy.unfinished("# TODO: later") == ["TODO is left"]
    assert tidy.unfinished("a mastodon") == []
    assert tidy.machine_paths('open("/home/someone/x")') == ["a path of one machine: /home/someone"]
    assert tidy.machine_paths("https://example.org/home/x and $HOME/home/x and var/work/x") == []


def test_a_dead_link_is_found():
    page = tidy.ROOT / "README.md"
    assert tidy.dead_links("[a](Makefile) [b](https://example.org) [c](#d)", page) == []
    assert tidy.dead_links("[a](docs/nowhere.md#b)", page) == ["links to docs/nowhere.md#b, which is not there"]
