"""The web server as `up` runs it, on a home, for a benchmark: Django's tables are made first."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from tests.e2e.cluster import HOST, ROOT, free_ports, tied_to_us
from txstore.home import Home

PATIENCE_S = 60.0


class Web:
    """On the home at `directory`; `variables` come on top of the environment that `up` gives."""

    def __init__(self, directory: Path, **variables: str) -> None:
        self.home, self.port = Home(directory), free_ports(1)[0]
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "txstore.settings",
            "TXSTORE_HOME": str(directory),
            "TXSTORE_WEB_PORT": str(self.port),
            **variables,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it answers."""
        subprocess.run([sys.executable, "manage.py", "prepare"], cwd=ROOT, env=self._environment, check=True)
        with self.home.log_file("web").open("ab") as log:
            command = [*tied_to_us(), sys.executable, "-m", "txstore.web"]
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the web server does not answer; see {self.home.log_file('web')}")
            time.sleep(0.05)

    def arguments(self, path: str, shape: str) -> dict[str, str]:
        """What a client process needs to know."""
        token = self.home.api_token()
        return {"module": "rest", "address": f"{HOST}:{self.port}", "token": token, "path": path, "shape": shape}

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://{HOST}:{self.port}/healthz", timeout=2) as response:
                return bool(response.status == 200)
        except (OSError, HTTPException):
            return False
