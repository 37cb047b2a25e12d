"""Isolation as users meet it: every schedule of schedules.txt with real sessions on real nodes, over REST and through
the client, with the rows on one shard and on three, whoever is the oldest. What was committed is a serial execution
that agrees with real time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import count, permutations
from typing import NamedTuple

import pytest

from nodes.client import Cluster
from nodes.sql import keys
from nodes.sql.schema import INT
from tests.e2e.actors import ByClient, ByRest, Played, Session, play
from tests.e2e.cluster import LocalCluster, served
from tests.e2e.rest import Door
from tests.e2e.schedules import FINAL, ROWS, SCHEDULES, TABLE, Answer, Run, Schedule, answer, placed, wrong
from tests.e2e.web import WebServer

TRIES = 5  # nobody may have been committed when a group got another leader meanwhile: then there is nothing to judge
KEYS = {f"{{{number}}}": number for number in range(1, 5)}


class Stage(NamedTuple):
    """A cluster with the table; `keys` are those of rows that lie on as many shards as there are."""

    cluster: LocalCluster
    observer: Cluster
    keys: dict[str, int]
    sessions: dict[str, Callable[[str], Session]]


@pytest.fixture(scope="module", params=[1, 3], ids=["one shard", "three shards"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Each session of the client talks to a node of its own."""
    shards = int(request.param)
    with served(tmp_path_factory.mktemp("cluster"), shards=shards) as cluster, cluster.client() as observer:
        observer.execute(TABLE)
        clients = {f"T{node}": cluster.client(node) for node in cluster.numbers}
        server = WebServer(cluster)
        try:
            server.start()
            door = Door(server.address, server.token)
            by_client = lambda name: ByClient(clients[name])  # noqa: E731
            yield Stage(cluster, observer, spread(shards), {"client": by_client, "REST": lambda name: ByRest(door)})
        finally:
            server.stop()
            for client in clients.values():
                client.close()


def spread(shards: int) -> dict[str, int]:
    """Keys of rows, the next one always on the next shard."""
    found: dict[str, int] = {}
    for key in count(1):
        if len(found) == len(KEYS):
            break
        if keys.shard_of_slot(keys.shard_slot([INT], [key]), shards) == 1 + len(found) % shards:
            found[f"{{{len(found) + 1}}}"] = key
    return found


def shown(played: Played) -> str:
    """The transcript of a run, for who has to understand it."""
    lines = []
    for place, step in enumerate(played.run.schedule.steps):
        told = played.run.answers.get(place, "")
        lines.append(f"{place} {step.session} {step.sql}: {told} {'blocked' if place in played.blocked else ''}")
    return "\n".join([*lines, f"committed {played.run.committed}", f"lost {played.lost}"])


# -- on a cluster


def cases() -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, schedule in SCHEDULES.items():
        for seniority in permutations(schedule.sessions):
            yield name, seniority


@pytest.mark.parametrize("door", ["client", "REST"])
@pytest.mark.parametrize(
    ("name", "seniority"), [pytest.param(*case, id=f"{case[0]}-{''.join(case[1])}") for case in cases()]
)
def test_a_schedule_is_serial(stage: Stage, door: str, name: str, seniority: tuple[str, ...]) -> None:
    schedule = SCHEDULES[name].placed(stage.keys)
    setup = [placed(ROWS, stage.keys)]
    for _ in range(TRIES):
        played = play(schedule, setup, seniority, stage.sessions[door], stage.observer)
        assert wrong(played.run) == "", shown(played)
        if played.run.committed:
            return
    raise AssertionError(f"nobody was committed in {TRIES} runs\n{shown(played)}")


@pytest.mark.parametrize("name", ["G0", "P4-for-update"])
def test_who_is_younger_is_seen_to_wait_and_nobody_is_ended(stage: Stage, name: str) -> None:
    """With FOR UPDATE already where it reads."""
    schedule, setup = SCHEDULES[name].placed(stage.keys), [placed(ROWS, stage.keys)]
    for _ in range(TRIES):
        played = play(schedule, setup, ["T1", "T2"], stage.sessions["REST"], stage.observer)
        assert wrong(played.run) == "", shown(played)
        if played.run.committed == ["T1", "T2"]:
            assert 3 in played.blocked, shown(played)
            return
    raise AssertionError(f"both were never committed in {TRIES} runs\n{shown(played)}")


# -- the judge

SERIAL_ANYWAY = {"G0", "OTV", "PMP-write"}  # as their steps stand, whoever waits or not


def without_isolation(schedule: Schedule) -> Run:
    """On a database that everybody writes into at once; a rollback undoes nothing."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    setup = [placed(ROWS, KEYS)]
    for sql in (TABLE, *setup):
        database.execute(sql)
    answers: dict[int, Answer] = {}
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    for place, step in enumerate(schedule.placed(KEYS).steps):
        if step.sql == "begin":
            began[step.session] = place
        elif step.sql in ("commit", "rollback"):
            ended[step.session] = place
        else:
            answers[place] = answer(database, step.sql)
    committed = [step.session for step in schedule.steps if step.sql == "commit"]
    final = answer(database, FINAL)
    assert isinstance(final, list)
    return Run(schedule.placed(KEYS), setup, answers, committed, began, ended, final)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_judge_knows_what_happens_without_isolation(name: str) -> None:
    run = without_isolation(SCHEDULES[name])
    assert (wrong(run) == "") == (name in SERIAL_ANYWAY)


def test_the_judge_knows_real_time() -> None:
    """T3 saw nothing of T2: serial, were it not that it began when T2 had ended."""
    schedule = Schedule("", "", tuple(SCHEDULES["G2-two-edges"].placed(KEYS).steps))
    setup = [placed(ROWS, KEYS)]
    before = [[1, 10], [2, 20]]
    answers: dict[int, Answer] = {1: before, 3: 1, 6: before, 8: 1}
    times = {"T1": 0.0, "T2": 1.0, "T3": 3.0}, {"T1": 9.0, "T2": 2.0, "T3": 4.0}
    run = Run(schedule, setup, answers, ["T1", "T2", "T3"], *times, [[1, 0], [2, 25]])
    assert wrong(run) != ""
    assert wrong(run._replace(began={"T1": 0.0, "T2": 1.0, "T3": 1.5})) == ""


def test_the_judge_knows_a_mix_of_two_writers_and_a_write_of_nothing() -> None:
    run = without_isolation(SCHEDULES["G0"])
    assert wrong(run) == ""
    assert wrong(run._replace(final=[[1, 12], [2, 21]])) != ""
    assert wrong(run._replace(committed=["T1"])) != ""
    assert wrong(run._replace(answers={**run.answers, 2: 0})) != ""
