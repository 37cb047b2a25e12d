"""The house rules as data and functions; tests/test_tidy.py applies them to every file.

Each check takes text and gives the complaints about it, so that a test can show that it complains.
*Left out*: what ruff and mypy see.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES_MAX, FUNCTION_LINES_MAX = 400, 50

# A module imports from its own floor or a lower one. The longest name that fits counts.
FLOORS = {
    "nodes.constants": 0,
    "nodes.ids": 0,
    "nodes.errors": 0,
    "nodes.requests": 0,
    "nodes.core": 1,
    "nodes.sql": 1,
    "nodes.storage": 2,
    "nodes.wire": 2,
    "nodes.runtime": 3,
    "nodes.client": 3,
    "nodes": 3,
    "monitoring": 4,
    "txstore": 5,
    "tests": 6,
    "benchmarks": 6,
    "docs": 6,
    "manage": 6,
}
# (who, what): who never imports what, whatever the floors say.
FORBIDDEN = [
    ("nodes.client", "nodes.runtime"),
    ("nodes.runtime", "nodes.client"),
    ("nodes", "django"),
    ("nodes", "rest_framework"),
    ("nodes", "celery"),
    ("monitoring.selfcheck.checker", "nodes"),
    ("monitoring.selfcheck.checker", "django"),
    *(("txstore", inside) for inside in ("nodes.core", "nodes.sql", "nodes.storage", "nodes.wire", "nodes.runtime")),
    *(("monitoring", inside) for inside in ("nodes.core", "nodes.sql", "nodes.storage", "nodes.wire", "nodes.runtime")),
]
# (what, the only ones who may): asyncio is the shell's.
RESERVED = [
    ("asyncio", ("nodes.runtime", "nodes.client.aio", "tests", "benchmarks", "docs")),
    ("uvloop", ("nodes.runtime", "nodes.client.aio", "tests", "benchmarks")),
    ("pickle", ()),
]
# Spelt in two parts, so that this file passes its own check.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HACK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(home|root|Users|work|mnt)/\w+")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def source_files() -> list[Path]:
    """Every Python file of the project."""
    folders = ("nodes", "txstore", "monitoring", "tests", "benchmarks", "docs")
    return [ROOT / "manage.py", *sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]


def text_files() -> list[Path]:
    """Every file that a person wrote."""
    names = ("Makefile", "requirements.txt", "pyproject.toml", ".ci/run")
    kinds = ("*.md", "*.sh", "*.toml", "*.yaml", "*.yml", "*.html", "Dockerfile")
    folders = ("docs", "docker", "templates", "txstore", "monitoring", "nodes", "tests", "benchmarks")
    found = [path for folder in folders for kind in kinds for path in (ROOT / folder).rglob(kind)]
    return [*source_files(), *(ROOT / name for name in names), *ROOT.glob("*.md"), *sorted(found)]


def module_name(path: Path) -> str:
    """`nodes/core/quorum.py` -> `nodes.core.quorum`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def floor_of(module: str) -> int | None:
    """The floor of one of our modules; None for anybody else's."""
    names = [name for name in FLOORS if is_within(module, name)]
    return FLOORS[max(names, key=len)] if names else None


def too_long(text: str) -> list[str]:
    lines = len(text.splitlines())
    return [f"{lines} lines, at most {FILE_LINES_MAX}"] if lines > FILE_LINES_MAX else []


def long_functions(text: str) -> list[str]:
    complaints = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                complaints.append(f"{node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}")
    return complaints


def imported(text: str, module: str, is_package: bool = False) -> Iterator[str]:
    """Full names of what is imported anywhere in the file, for types and inside functions too."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join(filter(None, [*parents[: len(parents) - node.level + 1], base]))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def wrong_imports(text: str, module: str, is_package: bool = False) -> list[str]:
    """What breaks the tables above."""
    complaints = []
    own_floor = floor_of(module)
    for name in imported(text, module, is_package):
        floor = floor_of(name)
        if own_floor is not None and floor is not None and floor > own_floor:
            complaints.append(f"{module} (floor {own_floor}) imports {name} (floor {floor})")
        complaints += [
            f"{who} never imports {what}" for who, what in FORBIDDEN if is_within(module, who) and is_within(name, what)
        ]
        complaints += [
            f"{what} is not for {module}"
            for what, owners in RESERVED
            if is_within(name, what) and not any(is_within(module, owner) for owner in owners)
        ]
    return complaints


def sleeps(text: str, module: str) -> list[str]:
    """Tests that sleep: only the ones with real processes may."""
    if not is_within(module, "tests") or is_within(module, "tests.e2e"):
        return []
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return [f"line {call.lineno} sleeps" for call in calls if ast.unparse(call.func) in ("time.sleep", "sleep")]


def unfinished(text: str) -> list[str]:
    return [f"{match[0]} is left" for match in UNFINISHED.finditer(text)]


def machine_paths(text: str) -> list[str]:
    return [f"a path of one machine: {match[0]}" for match in MACHINE_PATH.finditer(text)]


def dead_links(text: str, page: Path) -> list[str]:
    """Links from a page to files of the project that are not there; http links are not followed."""
    complaints = []
    for target in LINK.findall(text):
        file = target.partition("#")[0]
        if file and "://" not in target and not target.startswith("mailto:") and not (page.parent / file).exists():
            complaints.append(f"links to {target}, which is not there")
    return complaints
