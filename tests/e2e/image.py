"""docker/Dockerfile without an engine: read, and done in a directory. `python -m tests.e2e.image ROOTS` builds.

Each stage is a directory that begins as a copy of its base and in which RUN and COPY are carried out; `debian:…` is a
fresh root of debootstrap. The context is what Dockerfile.dockerignore lets through, as for an engine.

*Invariant*: an instruction, or a form of one, that is not known here is refused, never passed over.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
DEBIAN = "debian:bookworm-slim"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PLAIN = ("RUN", "COPY", "WORKDIR", "ENV", "USER", "STOPSIGNAL", "CMD")


@dataclass
class Stage:
    """Its base (an image, or an earlier stage's name), and what is done: (instruction, arguments)."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Settings:
    """What the steps of a stage so far say about whoever runs in it."""

    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "root"
    stop_signal: str = "SIGTERM"
    command: list[str] = field(default_factory=list)

    def take(self, name: str, arguments: str) -> None:
        if name == "ENV":
            self.environment |= dict(pair.split("=", 1) for pair in shlex.split(arguments))
        elif name == "WORKDIR":
            self.workdir = os.path.join(self.workdir, arguments)
        elif name == "USER":
            self.user = arguments
        elif name == "STOPSIGNAL":
            self.stop_signal = arguments
        elif name == "CMD":
            self.command = json.loads(arguments)


def parse(text: str) -> list[Stage]:
    """The stages of a Dockerfile; ValueError for what is not known here."""
    stages: list[Stage] = []
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, arguments = line.strip().partition(" ")
        if name == "FROM":
            base, *rest = arguments.split()
            stages.append(Stage(base, rest[1] if rest else ""))
        elif name in PLAIN and stages:
            stages[-1].steps.append((name, " ".join(arguments.split()) if name != "RUN" else arguments.strip()))
        elif name:
            raise ValueError(f"not known here: {line}")
    return stages


def settings_of(stages: list[Stage], stage: Stage) -> Settings:
    """What a container of the stage begins with."""
    base = next((each for each in stages if each.name == stage.base), None)
    settings = settings_of(stages, base) if base else Settings()
    for name, arguments in stage.steps:
        settings.take(name, arguments)
    return settings


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Does .dockerignore keep `path` (relative to the context) from the engine? The last pattern that fits decides."""
    ignored, parts = False, path.split("/")
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        if bare.startswith("**/"):
            fits = any(fnmatch(part, bare.removeprefix("**/")) for part in parts)
        else:
            fits = fnmatch("/".join(parts[: bare.count("/") + 1]), bare)
        ignored = not pattern.startswith("!") if fits else ignored
    return ignored


def context_files(context: Path = ROOT) -> list[str]:
    """What the engine would be sent, relative to the context."""
    lines = (DOCKERFILE.with_name("Dockerfile.dockerignore")).read_text().splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    tops = {pattern.removeprefix("!").split("/")[0] for pattern in patterns if pattern.startswith("!")}
    found = []
    for top in sorted(tops):
        files = (context / top).rglob("*") if (context / top).is_dir() else [context / top]
        found += [str(file.relative_to(context)) for file in files if file.is_file()]
    return [file for file in found if not is_ignored(file, patterns)]


def copy_from_context(arguments: str, workdir: str, root: Path) -> None:
    """COPY SOURCE… TARGET out of the context; ValueError when a source is not in it."""
    *sources, target = arguments.split()
    files = context_files()
    for source in sources:
        names = [file for file in files if file == source or file.startswith(f"{source}/")]
        if not names:
            raise ValueError(f"COPY {arguments}: {source} is not in the context")
        for name in names:
            below = Path(name).name if name == source else name.removeprefix(f"{source}/")
            to = root / os.path.join(workdir, target, below).lstrip("/")
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to)


class Builder:
    """Builds stage after stage below `roots`."""

    def __init__(self, roots: Path) -> None:
        self.roots, self.stages = roots, parse(DOCKERFILE.read_text())

    def build(self) -> Path:
        """The root directory of the last stage."""
        for number, stage in enumerate(self.stages):
            root = self.roots / (stage.name or str(number))
            print(f"== FROM {stage.base}{f' AS {stage.name}' if stage.name else ''}", flush=True)
            self._begin(stage, root)
            settings = settings_of(self.stages, Stage(stage.base, ""))
            (root / "etc/hosts").touch()  # an engine makes it, to put its own over it
            for name, arguments in stage.steps:
                print(f"-- {name} {' '.join(arguments.split())}", flush=True)
                settings.take(name, arguments)
                self._do(name, arguments, root, settings)
        return root

    def _begin(self, stage: Stage, root: Path) -> None:
        if stage.base == DEBIAN:
            subprocess.run(["sh", str(ROOT / "tests/e2e/debian_root.sh"), str(root)], check=True)
        elif stage.base in {each.name for each in self.stages}:
            subprocess.run(["cp", "-a", "--reflink=auto", str(self.roots / stage.base), str(root)], check=True)
        else:
            raise ValueError(f"not known here: FROM {stage.base}")

    def _do(self, name: str, arguments: str, root: Path, settings: Settings) -> None:
        if name == "WORKDIR":
            (root / settings.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "RUN":
            subprocess.run([*inside(root, settings), "sh", "-euc", arguments], check=True)
        elif name == "COPY" and arguments.startswith("--from="):
            stage, source, target = arguments.removeprefix("--from=").split()
            to = root / os.path.join(settings.workdir, target).lstrip("/")
            subprocess.run(["cp", "-a", str(self.roots / stage / source.lstrip("/")), str(to)], check=True)
        elif name == "COPY":
            copy_from_context(arguments, settings.workdir, root)


def inside(root: Path, settings: Settings) -> list[str]:
    """A command prefix: root, as RUN has it, and nothing of this machine but whom it trusts as a mirror."""
    trusted = "/dev/certificates"  # a place that is not of the image
    variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "PIP_CERT": trusted}
    given = [part for pair in (variables | settings.environment).items() for part in ("--setenv", *pair)]
    places = ["--bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--chdir", settings.workdir]
    places += ["--ro-bind", CERTIFICATES, trusted]
    return ["bwrap", *places, "--clearenv", *given, "--cap-add", "ALL", "--die-with-parent", "--"]


if __name__ == "__main__":
    print(Builder(Path(sys.argv[1])).build())
