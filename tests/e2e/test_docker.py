"""docker/: the composition is whole, and its commands do together what they are there for, each with its environment.

What the Dockerfile's RUN lines do is not part of this: `make image` does them in a Debian root, and then runs the same
composition on what came out (TXSTORE_IMAGE names it).
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nodes.client import Cluster
from nodes.errors import StoreError
from tests import postgres
from tests.e2e import composition, containers, image
from tests.e2e.cluster import unready
from txstore.home import Shape

DEFAULT = Shape()
TABLE = "CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)"


@contextmanager
def django_database(directory: Path, compose: composition.Compose, address: str) -> Iterator[None]:
    """PostgreSQL as its image starts it: a database, its owner with the password of the secret, on the usual port."""
    settings = compose["services"]["postgres"]["environment"]
    password = (directory / "secrets" / Path(settings["POSTGRES_PASSWORD_FILE"]).name).read_text().strip()
    admin = f"host={address} port=5432 user=postgres dbname=postgres"
    with postgres.server(f"listen_addresses={address}", "port=5432"):
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {settings['POSTGRES_USER']} LOGIN PASSWORD '{password}'")
            connection.execute(f"CREATE DATABASE {settings['POSTGRES_DB']} OWNER {settings['POSTGRES_USER']}")
            access = Path(connection.execute("SHOW hba_file").fetchone()[0])
            access.write_text("host all postgres 127.0.0.0/8 trust\nhost all all 127.0.0.0/8 scram-sha-256\n")
            connection.execute("SELECT pg_reload_conf()")
        yield


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[containers.Containers]:
    """The whole composition, started in order. At the end all of it ends by its own signal, with 0 and in its time."""
    directory = tmp_path_factory.mktemp("composition")
    containers.make_secrets(directory)
    compose = composition.read()
    built = os.environ.get("TXSTORE_IMAGE")
    root = containers.Image(directory / "image", Path(built) if built else None)
    started = containers.Containers(directory, compose, root, ["postgres"])
    codes: dict[str, int] = {}
    with django_database(directory, compose, started.address("postgres")):
        try:
            started.start()
            yield started
        finally:
            codes = started.stop()
    failed = {name: (code, started[name].words()) for name, code in codes.items() if code}
    assert not failed, failed


def ask(running: containers.Containers, method: str, path: str, body: Any = None) -> tuple[int, str]:
    """(status, text) from the web server, with the token of the secret."""
    token = (running.directory / "secrets" / "api-token").read_text().strip()
    connection = http.client.HTTPConnection(running.address("web"), 8000, timeout=30)
    headers = {"Host": "localhost:8000", "Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError as error:
        return 0, str(error)
    finally:
        connection.close()


def wait_ready(running: containers.Containers) -> None:
    def why() -> str:
        status, text = ask(running, "GET", "/readyz")
        return "" if status == 200 else text

    containers.wait_until("the cluster is ready", why)


def cluster_of(running: containers.Containers, *names: str) -> Cluster:
    secret = (running.directory / "secrets" / "cluster-secret").read_text().strip()
    return Cluster.connect(",".join(f"{running.address(name)}:7101" for name in names), secret=secret)


def test_nothing_is_wrong_in_the_composition():
    assert composition.complaints(composition.read()) == []


def test_the_image_runs_as_a_user_of_its_own_and_ends_by_sigterm():
    stages = image.parse(image.DOCKERFILE.read_text())
    settings = image.settings_of(stages, stages[-1])
    assert settings.user == "txstore"
    assert settings.stop_signal == "SIGTERM"
    assert settings.command == composition.read()["services"]["n1"]["command"]
    assert f"useradd --system --uid {containers.USER} " in dict(stages[-1].steps[:1])["RUN"]


def test_every_service_with_a_health_check_is_healthy(running):
    wait_ready(running)
    for name in running.all:
        if composition.health_command(running.compose["services"][name]):
            running.wait_healthy(name)


def test_money_moves_through_the_web_server_of_the_composition(running):
    wait_ready(running)
    statements = [{"sql": "INSERT INTO accounts (id, balance) VALUES (1, 10), (2, 20), (3, 30)"}]
    for each in ([{"sql": TABLE}], statements):
        status, text = ask(running, "POST", "/api/v1/transactions", {"statements": each})
        assert status == 200, text
    with cluster_of(running, "n1", "n2", "n3") as cluster:
        assert int(cluster.query("SELECT SUM(balance) FROM accounts")[0][0]) == 60


def test_the_worker_runs_the_checks_that_beat_sends_through_redis(running):
    def why() -> str:
        status, text = ask(running, "GET", "/api/v1/health")
        checks = {check["check"]: check for check in json.loads(text)["checks"]} if status == 200 else {}
        checks.pop("self_check", None)  # is off at first
        silent = [name for name, check in checks.items() if check["stale"] or not check["enabled"]]
        well = checks and all(checks[name]["state"] == "ok" for name in ("node_answers", "group_leader", "canary"))
        return "" if well and not silent else f"{silent} {text}"

    containers.wait_until("every check has run", why, timeout=120)


def test_the_admin_of_the_secret_can_log_in(running):
    """Django's users live in PostgreSQL: `prepare` has made the tables and the user there."""
    script = (
        "import django; django.setup(); from django.contrib.auth import authenticate; from django.db import connection;"
        "from pathlib import Path; password = Path('/run/secrets/admin-password').read_text().strip();"
        "print(connection.vendor, authenticate(username='admin', password=password))"
    )
    done = running["web"].run(["python", "-c", script])
    assert done.stdout.split() == ["postgresql", "admin"], done.stderr
    assert ask(running, "GET", "/admin/login/")[0] == 200


def test_a_service_sees_its_own_secrets_and_its_own_networks_and_cannot_write_its_image(running):
    seen = running["n1"].run(
        ["sh", "-c", "ls /run/secrets; grep -c -e postgres -e redis /etc/hosts; id -u; touch /tmp/x x"]
    )
    assert seen.stdout.split() == ["cluster-secret", "0", containers.USER]
    assert seen.stderr.count("Read-only file system") == 1


def test_a_node_that_is_stopped_hands_over_ends_with_0_and_comes_back_with_its_data(running):
    wait_ready(running)
    with cluster_of(running, "n2", "n3") as others:
        running["n1"].signal(signal.SIGTERM)
        assert running["n1"].wait(composition.seconds(running.compose["services"]["n1"]["stop_grace_period"])) == 0
        ended = time.monotonic()
        containers.wait_until("other nodes lead all groups", lambda: without_leader(others))
        # Nobody had to notice by a time-out that n1 is gone.
        assert time.monotonic() - ended < 5
        assert running["n1"].run(["python", "-m", "nodes", "check"]).returncode == 1
        running["n1"].start()
        running.wait_healthy("n1")
        cluster_id = others.status()["cluster_id"]
    with cluster_of(running, "n1") as back:
        assert (back.status()["cluster_id"], back.status()["boot"]) == (cluster_id, 2)


def without_leader(cluster: Cluster) -> str:
    try:
        return unready(cluster.status(), DEFAULT.shards, 0, {})
    except StoreError as error:
        return str(error)


@pytest.mark.parametrize(
    ("service", "key", "value", "words"),
    [
        ("n1", "ports", ["127.0.0.1:7101:7101"], "n1: publishes 127.0.0.1:7101:7101"),
        ("web", "ports", ["8000:8000"], "web: publishes 8000:8000"),
        ("web", "ports", ["127.0.0.1:8000:8001"], "web: publishes 127.0.0.1:8000:8001"),
        ("n2", "read_only", False, "n2: read_only is False"),
        ("n2", "stop_signal", "SIGKILL", "n2: stop_signal is 'SIGKILL'"),
        ("n2", "stop_grace_period", "1s", "n2: is given only 1s to end"),
        ("n3", "restart", "no", "n3: restart is 'no'"),
        ("prepare", "restart", "always", "prepare: restart is 'always'"),
        ("n1", "volumes", ["elsewhere:/var/lib/txstore"], "n1: elsewhere is none of volumes"),
        ("n1", "secrets", [], "n1: names the secret cluster-secret, and is not given it"),
        ("redis", "healthcheck", {}, "worker: waits for redis, which has no health check"),
        ("n1", "networks", ["front"], "n2: n1 cannot be reached at n1:7101"),
        ("n1", "build", {"context": ".."}, "one service builds the image, and the others take it"),
    ],
)
def test_what_is_wrong_in_a_composition_is_told(service, key, value, words):
    compose = composition.read()
    compose["services"][service][key] = value
    assert words in composition.complaints(compose)


@pytest.mark.parametrize(
    ("service", "variable", "value", "words"),
    [
        ("n1", "TXSTORE_SHARD", "6", "n1: TXSTORE_SHARD is missing, or nobody reads it"),
        ("n1", "TXSTORE_ENGINE", None, "n1: TXSTORE_ENGINE is missing, or nobody reads it"),
        ("web", "DATABASE_URI", "x", "web: DATABASE_URI is missing, or nobody reads it"),
        ("web", "TXSTORE_NODES_AT", "n2:7101,n1:7101,n3:7101", "web: n1 cannot be reached at n2:7101"),
        ("n1", "TXSTORE_NODE", "2", "n2: n1 cannot be reached at n1:7101"),
    ],
)
def test_a_wrong_variable_of_a_composition_is_told(service, variable, value, words):
    compose = composition.read()
    variables = {**compose["services"][service]["environment"], variable: value}
    compose["services"][service]["environment"] = {name: each for name, each in variables.items() if each is not None}
    assert words in composition.complaints(compose)


def test_a_secret_that_the_script_does_not_make_is_told():
    compose = composition.read()
    compose["secrets"]["certificate"] = {"file": "secrets/certificate"}
    assert "secrets: secrets/certificate is not made by secrets.sh" in composition.complaints(compose)


def test_secrets_are_made_once_and_only_for_their_owner(tmp_path):
    containers.make_secrets(tmp_path)
    made = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    containers.make_secrets(tmp_path)
    assert {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()} == made
    assert len(set(made.values())) == len(made)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_variables_of_a_composition_are_filled_in(tmp_path):
    file = tmp_path / "compose.yaml"
    file.write_text('a: ["${X:-1}:${Y:-2}", $$HOME]\n')
    assert composition.read(file, {"Y": "3"}) == {"a": ["1:3", "$HOME"]}
    file.write_text("a: ${X}\n")
    with pytest.raises(ValueError, match="NAME:-default"):
        composition.read(file)


def test_an_instruction_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="ADD"):
        image.parse("FROM debian:bookworm-slim\nADD x y\n")


def test_the_context_holds_what_is_copied_and_nothing_that_is_private():
    files = image.context_files()
    assert {"manage.py", "requirements.txt", "nodes/__main__.py", "txstore/wsgi.py"} <= set(files)
    product = {"nodes", "monitoring", "txstore", "templates"}
    stages = image.parse(image.DOCKERFILE.read_text())
    copied = {arguments.split()[0] for name, arguments in stages[-1].steps if name == "COPY"}
    assert {folder for folder in product if (image.ROOT / folder).exists()} <= copied
    assert not [file for file in files if file.startswith(("var/", "docker/", "tests/", ".")) or "__pycache__" in file]
