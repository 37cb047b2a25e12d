"""docker/compose.yaml as Compose reads it, and what is wrong in it, told without an engine.

`read` fills in variables (`${NAME:-default}`, `$$`). `complaints` holds the file against what the programs take.
*Left out*: whatever of Compose's format the file does not use; a form of a variable or a condition that is not known
here is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from nodes.runtime.config import VARIABLES as NODE_VARIABLES

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docker"
COMPOSE = FOLDER / "compose.yaml"
OURS = "txstore"
# Beat cannot be asked: when it falls silent, the checks that it sends turn stale.
SILENT = "beat"
HEALTHY, COMPLETED = "service_healthy", "service_completed_successfully"
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+):-([^}]*)\}|(.?))")

Compose = dict[str, Any]


def read(path: Path = COMPOSE, environment: Mapping[str, str] | None = None) -> Compose:
    """The file with its variables filled in from `environment`; ValueError for a form that is not known here."""
    return dict(_filled(yaml.safe_load(path.read_text()), environment or {}))


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environment) for each in value]
    return VARIABLE.sub(lambda match: _variable(match, environment), value) if isinstance(value, str) else value


def _variable(match: re.Match[str], environment: Mapping[str, str]) -> str:
    dollar, name, default, other = match.groups()
    if other is not None:
        raise ValueError(f"${other}: a variable is written ${{NAME:-default}} here, a dollar sign $$")
    return "$" if dollar else environment.get(name) or default


def our_services(compose: Compose) -> dict[str, dict[str, Any]]:
    """The services that run this project's image."""
    return {name: service for name, service in compose["services"].items() if service["image"] == OURS}


def services_in_order(compose: Compose) -> list[str]:
    """Each service behind those that it depends on."""
    ordered: list[str] = []

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"{' -> '.join((*above, name))} depend on each other")
        for other, condition in compose["services"][name].get("depends_on", {}).items():
            if condition["condition"] not in (HEALTHY, COMPLETED):
                raise ValueError(f"{name}: {condition['condition']} is not known here")
            add(other, (*above, name))
        if name not in ordered:
            ordered.append(name)

    for name in compose["services"]:
        add(name, ())
    return ordered


def seconds(text: str) -> float:
    """`15s` -> 15."""
    return float(text.removesuffix("s"))


def health_command(service: Mapping[str, Any]) -> list[str]:
    """The health check as a command to run; [] if there is none."""
    kind, *words = service.get("healthcheck", {}).get("test", ["NONE"])
    return {"NONE": [], "CMD": words, "CMD-SHELL": ["sh", "-c", *words]}[kind]


def complaints(compose: Compose) -> list[str]:
    """Everything that is wrong, in words."""
    return [words for check in CHECKS for words in check(compose)]


def _declared(compose: Compose) -> Iterator[str]:
    """Volumes, networks and secrets: what is used is declared, and the other way round."""
    used: dict[str, set[str]] = {"volumes": set(), "networks": set(), "secrets": set()}
    for name, service in compose["services"].items():
        for kind in used:
            entries = {str(entry).partition(":")[0] for entry in service.get(kind, [])}
            used[kind] |= entries
            yield from (f"{name}: {each} is none of {kind}" for each in sorted(entries - compose[kind].keys()))
    for kind, names in used.items():
        yield from (f"{kind}: {each} is not used" for each in sorted(compose[kind].keys() - names))


def _secrets(compose: Compose) -> Iterator[str]:
    """A file below /run/secrets that is named is granted, and secrets.sh makes it."""
    made = set(re.findall(r"[a-z][a-z.-]+", " ".join(re.findall(r"^(?:for name in|make) ([^\"]+)", _script(), re.M))))
    for name, secret in compose["secrets"].items():
        if secret["file"] != f"secrets/{name}" or name not in made:
            yield f"secrets: {secret['file']} is not made by secrets.sh"
    for name, service in compose["services"].items():
        named = set(re.findall(r"/run/secrets/([a-z.-]+)", str(service)))
        yield from (f"{name}: names the secret {each}, and is not given it" for each in named - set(service["secrets"]))


def _script() -> str:
    return (FOLDER / "secrets.sh").read_text()


def _ports(compose: Compose) -> Iterator[str]:
    """Only the web server is reached from the host, and only on 127.0.0.1."""
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            host, _, rest = port.partition(":")
            inner = rest.rpartition(":")[2]
            if name != "web" or host != "127.0.0.1" or inner != service["environment"]["TXSTORE_WEB_PORT"]:
                yield f"{name}: publishes {port}"


def _variables(compose: Compose) -> Iterator[str]:
    """A node has every variable that it takes and no other; the front has none that nobody reads."""
    for name, service in our_services(compose).items():
        variables = service["environment"].keys()
        if "nodes" in service["command"]:
            wrong = variables ^ set(NODE_VARIABLES.values())
        else:
            wrong = {each for each in variables if each.removesuffix("_FILE") not in front_variables()}
        yield from (f"{name}: {each} is missing, or nobody reads it" for each in sorted(wrong))


def front_variables() -> set[str]:
    """Names of variables in the code of the web server, worker and beat."""
    files = [file for folder in ("txstore", "monitoring") for file in (ROOT / folder).rglob("*.py")]
    return {name for file in files for name in re.findall(r'"((?:TXSTORE|DATABASE)_[A-Z_]+)"', file.read_text())}


def _addresses(compose: Compose) -> Iterator[str]:
    """The nodes' addresses are services that listen there, in the order of their numbers, on a common network."""
    for name, service in our_services(compose).items():
        for number, address in enumerate(service["environment"]["TXSTORE_NODES_AT"].split(","), start=1):
            host, _, port = address.partition(":")
            node = compose["services"].get(host, {"environment": {}, "networks": []})
            told = (node["environment"].get("TXSTORE_NODE"), node["environment"].get("TXSTORE_LISTEN"))
            if told != (str(number), f"0.0.0.0:{port}") or not set(node["networks"]) & set(service["networks"]):
                yield f"{name}: n{number} cannot be reached at {address}"


def _life(compose: Compose) -> Iterator[str]:
    """Our programs cannot write their image, have no privilege, end by SIGTERM in peace, and start again."""
    wanted = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
              "stop_signal": "SIGTERM", "pull_policy": "never"}  # fmt: skip
    for name, service in our_services(compose).items():
        is_job = name in {other for each in compose["services"].values() for other in _completed(each)}
        expected = wanted | {"restart": "no" if is_job else "unless-stopped"}
        expected |= {"pull_policy": "build"} if "build" in service else {}
        wrong = [key for key, value in expected.items() if service.get(key) != value]
        yield from (f"{name}: {key} is {service.get(key)!r}" for key in wrong)
        if seconds(service["stop_grace_period"]) < 10:
            yield f"{name}: is given only {service['stop_grace_period']} to end"
    if len([name for name, service in our_services(compose).items() if "build" in service]) != 1:
        yield "one service builds the image, and the others take it"


def _completed(service: Mapping[str, Any]) -> list[str]:
    return [name for name, how in service.get("depends_on", {}).items() if how["condition"] == COMPLETED]


def _health(compose: Compose) -> Iterator[str]:
    """Whoever is waited for to be healthy can say so, and so can all that serve."""
    for name, service in compose["services"].items():
        needs = [other for other, how in service.get("depends_on", {}).items() if how["condition"] == HEALTHY]
        yield from (f"{name}: waits for {other}, which has no health check" for other in needs
                    if not health_command(compose["services"][other]))  # fmt: skip
        if service.get("restart") != "no" and name != SILENT and not health_command(service):
            yield f"{name}: has no health check"


CHECKS = (_declared, _secrets, _ports, _variables, _addresses, _life, _health)
