"""The services of compose.yaml as local processes, each in a sandbox of bubblewrap: what a container has, and no more.

A service sees its root read-only, its volumes, its secrets in /run/secrets, tmpfs where the file says so, a host name
and process ids of its own (its command is process 1), its environment alone, and in /etc/hosts the services that share
a network with it. All of them share this machine's network: each has an address of its own out of 127.0.0.0/8, and
0.0.0.0 in its command or environment becomes that address. So ports are the file's own.

The root is the image that `image.Builder` made, or this machine's, with the project as COPY lines bring it.
*Left out*: limits, the network's walls (who knows an address reaches it), other people's images: their programs come
from this machine.
"""

from __future__ import annotations

import compileall
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.e2e import composition, image
from tests.e2e.cluster import ROOT, tied_to_us

SYSTEM, FRESH = ("usr", "bin", "lib", "lib64", "sbin", "etc"), {"proc", "dev", "tmp", "run"}
SPACES = ("--unshare-pid", "--unshare-uts", "--unshare-ipc", "--new-session", "--die-with-parent")
USER = "10001"
PATIENCE_S = 60.0
POLL_S = 0.2


class Image:
    """What our services run in: a root to bind, and the settings of the Dockerfile's last stage."""

    def __init__(self, directory: Path, built: Path | None = None) -> None:
        stages = image.parse(image.DOCKERFILE.read_text())
        self.settings, self.built = image.settings_of(stages, stages[-1]), built
        self.binds = _binds(built) if built else [*_binds(Path("/")), *self._project(directory, stages[-1])]

    def _project(self, directory: Path, stage: image.Stage) -> list[str]:
        """The project's files as the last stage copies them, and the environment that stands for its own."""
        for name, arguments in stage.steps:
            if name == "COPY" and not arguments.startswith("--from="):
                image.copy_from_context(arguments, self.settings.workdir, directory)
        compileall.compile_dir(directory, quiet=1)
        place, venv = self.settings.workdir, f"{self.settings.workdir}/.venv"
        (directory / venv.lstrip("/")).mkdir(parents=True, exist_ok=True)
        python = [] if sys.base_prefix == "/usr" else ["--ro-bind", sys.base_prefix, sys.base_prefix]
        mine = ["--ro-bind", str(directory / place.lstrip("/")), place, "--ro-bind", sys.prefix, venv]
        return [*python, *mine]

    def initial(self, volume: str) -> tuple[int, int, int]:
        """(owner, group, mode) that a new volume takes over from the image."""
        if self.built is None:
            return os.geteuid(), os.getegid(), 0o700
        there = (self.built / volume.lstrip("/")).stat()
        return there.st_uid, there.st_gid, there.st_mode & 0o7777


def _binds(root: Path) -> list[str]:
    """A read-only root out of another one: its system folders, links as links."""
    found: list[str] = []
    for name in SYSTEM if root == Path("/") else sorted({each.name for each in root.iterdir()} - FRESH):
        if (root / name).is_symlink():
            found += ["--symlink", os.readlink(root / name), f"/{name}"]
        elif (root / name).exists():
            found += ["--ro-bind", str(root / name), f"/{name}"]
    return found


class Container:
    """One service; `start`, `signal` and `kill` as often as one likes, on the same volumes."""

    def __init__(self, name: str, sandbox: list[str], become: list[str], command: list[str], log: Path) -> None:
        self.name, self.log = name, log
        self._sandbox, self._become, self._command = sandbox, become, command
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def start(self) -> None:
        reading, writing = os.pipe()
        options = ["--as-pid-1", "--info-fd", str(writing), "--"]
        command = [*tied_to_us(), *self._sandbox, *options, *self._become, *self._command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[writing]
            )
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told = pipe.read()
        if not told:
            raise AssertionError(f"{self.name}: no sandbox: {self.words()}")
        self._pid = json.loads(told)["child-pid"]

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout: float = PATIENCE_S) -> int:
        """The command's exit status."""
        assert self._process is not None, "it was started"
        return self._process.wait(timeout)

    def signal(self, number: int) -> None:
        """To the command, as an engine sends it to process 1."""
        if self.is_running():
            os.kill(self._pid, number)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Another command with what this service has, as a health check runs."""
        full = [*self._sandbox, "--", *self._become, *command]
        return subprocess.run(full, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def words(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


class Containers:
    """All services of a composition but those of `elsewhere`, whom somebody else starts on `address(name)`."""

    def __init__(self, directory: Path, compose: composition.Compose, root: Image, elsewhere: Iterable[str]) -> None:
        self.directory, self.compose, self.root = directory, compose, root
        self.elsewhere = set(elsewhere)
        net = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}"
        self._addresses = {name: f"{net}.{number + 10}" for number, name in enumerate(compose["services"])}
        self.all = {name: self._container(name) for name in compose["services"] if name not in self.elsewhere}

    def __getitem__(self, name: str) -> Container:
        return self.all[name]

    def address(self, name: str) -> str:
        return self._addresses[name]

    def start(self) -> None:
        """All of them, in the order of what they depend on, as Compose does it."""
        for name in composition.services_in_order(self.compose):
            for other, how in self.compose["services"][name].get("depends_on", {}).items():
                if other not in self.elsewhere:
                    self._wait_for(other, how["condition"])
            if name not in self.elsewhere:
                self.all[name].start()

    def _wait_for(self, name: str, condition: str) -> None:
        if condition == composition.HEALTHY:
            self.wait_healthy(name)
        elif (code := self.all[name].wait()) != 0:
            raise AssertionError(f"{name} ended with {code}: {self.all[name].words()}")

    def wait_healthy(self, name: str) -> None:
        """Until its health check passes."""
        check = self._command(name, composition.health_command(self.compose["services"][name]))

        def why() -> str:
            if not self.all[name].is_running():
                return f"it has ended: {self.all[name].words()}"
            done = self.all[name].run(check)
            return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}\n{self.all[name].words()}"

        wait_until(f"{name} is healthy", why)

    def stop(self) -> dict[str, int]:
        """End all, each by its own signal and within its own time; exit statuses of those that ran."""
        running = {name: each for name, each in self.all.items() if each.is_running()}
        for name, each in running.items():
            each.signal(signal.Signals[self.compose["services"][name].get("stop_signal", "SIGTERM")])
        codes = {}
        for name, each in running.items():
            grace = self.compose["services"][name].get("stop_grace_period", "10s")
            try:
                codes[name] = each.wait(composition.seconds(grace))
            except subprocess.TimeoutExpired:
                each.signal(signal.SIGKILL)
                each.wait()
                codes[name] = -signal.SIGKILL
        return codes

    def _command(self, name: str, words: list[str]) -> list[str]:
        return [str(word).replace("0.0.0.0", self.address(name)) for word in words]

    def _container(self, name: str) -> Container:
        service = self.compose["services"][name]
        ours = service["image"] == composition.OURS
        settings = self.root.settings
        environment = dict(settings.environment) if ours else {"PATH": "/usr/bin:/bin"}
        environment |= {"HOSTNAME": name} | {key: str(value) for key, value in service.get("environment", {}).items()}
        given = [word for pair in environment.items() for word in ("--setenv", *self._command(name, list(pair)))]
        command = self._command(name, service.get("command") or settings.command)
        user, become = _as_user(ours and self.root.built is not None)
        sandbox = [
            "bwrap", *SPACES, *user, "--proc", "/proc", "--dev", "/dev",
            *(self.root.binds if ours else _binds(Path("/"))), *self._mounts(name, service),
            "--chdir", settings.workdir if ours else "/", "--clearenv", *given,
        ]  # fmt: skip
        return Container(name, sandbox, become, command, self.directory / f"{name}.log")

    def _mounts(self, name: str, service: dict[str, Any]) -> list[str]:
        found = ["--hostname", name, "--ro-bind", str(self._hosts(name, service)), "/etc/hosts"]
        found += [word for folder in ("/run", "/run/secrets") for word in ("--perms", "0755", "--dir", folder)]
        for place in service.get("tmpfs", []):
            found += ["--perms", "1777", "--tmpfs", place]
        for volume in service.get("volumes", []):
            source, target = volume.split(":")
            found += ["--bind", str(self._volume(source, target)), target]
        for secret in service.get("secrets", []):
            file = self.directory / self.compose["secrets"][secret]["file"]
            found += ["--ro-bind", str(file), f"/run/secrets/{secret}"]
        return found

    def _volume(self, source: str, target: str) -> Path:
        folder = self.directory / "volumes" / source
        if not folder.exists():
            owner, group, mode = self.root.initial(target)
            folder.mkdir(parents=True)
            os.chown(folder, owner, group)
            folder.chmod(mode)
        return folder

    def _hosts(self, name: str, service: dict[str, Any]) -> Path:
        services = self.compose["services"]
        seen = [other for other in services if set(services[other]["networks"]) & set(service["networks"])]
        file = self.directory / f"{name}.hosts"
        file.write_text("127.0.0.1 localhost\n" + "".join(f"{self.address(other)} {other}\n" for other in seen))
        return file


def _as_user(is_real: bool) -> tuple[list[str], list[str]]:
    """(Options of the sandbox, prefix of its command) for the image's user: root becomes that user where there is an
    image; elsewhere it is as if, for the files of this machine belong to whoever runs this."""
    if not is_real:
        return ["--unshare-user", "--uid", USER, "--gid", USER, "--cap-drop", "ALL"], []
    become = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all", "--pdeathsig=KILL"]
    caps = [word for name in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
    return caps, ["setpriv", *become, "--"]


def wait_until(what: str, why_not: Callable[[], str], timeout: float = PATIENCE_S) -> None:
    """Ask until `why_not` has no more words; AssertionError with its last ones after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while words := why_not():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout:.0f} s: {words}")
        time.sleep(POLL_S)


def make_secrets(directory: Path) -> None:
    """What secrets.sh makes, in `directory`/secrets."""
    subprocess.run(["sh", str(ROOT / "docker" / "secrets.sh"), str(directory / "secrets")], check=True)
