"""What the demo decides: its proof, its figures, and which process it may kill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.errors import DID_NOT_HAPPEN, HAPPENED, UNKNOWN
from txstore import up
from txstore.demo import victim
from txstore.demo.bank import START, Transfer, windows
from txstore.demo.gauge import Gauge
from txstore.demo.proof import Books, Claim, judge
from txstore.demo.traffic import Told
from txstore.demo.victim import NoVictim
from txstore.home import Home, Shape

ACCOUNTS = 3
MOVED = [Transfer(1, 1, 2, 5), Transfer(2, 2, 3, 1)]
BALANCES = {1: START - 5, 2: START + 4, 3: START + 1}


def told(transfer: Transfer, outcome: str = HAPPENED, code: str = "") -> Told:
    return Told(transfer, outcome, "a key", 0.0, 1.0, code=code)


def broken(claims: list[Claim]) -> list[int]:
    return [place for place, claim in enumerate(claims) if not claim.holds]


def test_books_that_agree_with_what_was_told_prove_it() -> None:
    assert broken(judge(Books(BALANCES, MOVED, 1), ACCOUNTS, [told(each) for each in MOVED], 0)) == []


@pytest.mark.parametrize(
    ("balances", "ledger", "answers", "claims"),
    [
        ({**BALANCES, 1: START}, MOVED, [told(each) for each in MOVED], [0, 1]),
        ({1: START - 5, 2: START + 4}, MOVED, [told(each) for each in MOVED], [0, 1]),
        ({**BALANCES, 1: START - 6, 3: START + 2}, MOVED, [told(each) for each in MOVED], [1]),
        (BALANCES, MOVED, [*(told(each) for each in MOVED), told(Transfer(3, 1, 2, 1))], [2]),
        ({**BALANCES, 2: START + 3, 3: START + 2}, [MOVED[0], Transfer(2, 2, 3, 2)], [told(e) for e in MOVED], [2, 4]),
        (BALANCES, MOVED, [told(MOVED[0]), told(MOVED[1], DID_NOT_HAPPEN, code="conflict")], [3]),
        (BALANCES, MOVED, [told(MOVED[0])], [4]),
        (BALANCES, MOVED, [told(MOVED[0]), told(MOVED[1], UNKNOWN)], [5]),
    ],
    ids=["money appears", "an account is gone", "balances disagree", "acknowledged and lost", "not as asked",
         "refused and there", "nobody asked", "no fate"],
)  # fmt: skip
def test_each_thing_that_is_wrong_breaks_its_claim(
    balances: dict[int, int], ledger: list[Transfer], answers: list[Told], claims: list[int]
) -> None:
    assert broken(judge(Books(balances, ledger, 1), ACCOUNTS, answers, 0)) == claims


def test_windows_cover_every_number_once() -> None:
    assert list(windows(5, 2)) == [(1, 3), (3, 5), (5, 6)]
    assert list(windows(0, 2)) == []


def run_of(rates: list[int]) -> Gauge:
    """So many transfers a second, evenly, from second 100 on."""
    gauge = Gauge(100.0)
    for second, rate in enumerate(rates):
        ends = [100.0 + second + place / rate for place in range(rate)]
        gauge.add([Told(Transfer(1, 1, 2, 1), HAPPENED, "t", end - 0.01, end) for end in ends])
    gauge.reach(100.0 + len(rates))
    return gauge


def test_the_dip_after_a_kill_is_measured() -> None:
    dip = run_of([100] * 5 + [10, 0, 50, 90, 100]).dip(105.0, 110.0)
    assert (dip.before, dip.slowest, dip.fell, dip.back_s) == (100, 0, True, 3)
    assert 1.0 < dip.gap_s < 1.2
    assert "3 s after the kill it was back at 80%" in str(dip)


def test_a_kill_that_nobody_noticed_and_one_that_was_the_end_are_told() -> None:
    assert "no second was below" in str(run_of([100] * 10).dip(105.0, 110.0))
    lasting = run_of([100] * 5 + [0, 0, 0]).dip(105.0, 108.0)
    assert "was not reached again" in str(lasting)
    assert 2.9 < lasting.gap_s <= 3.0


def test_what_did_not_commit_is_counted_apart() -> None:
    gauge = Gauge(0.0)
    gauge.add([told(MOVED[0], DID_NOT_HAPPEN, code="conflict"), told(MOVED[0], UNKNOWN), told(MOVED[0])])
    assert (gauge.committed, dict(gauge.refused), gauge.unknown) == (1, {"conflict": 1}, 1)


# -- the victim

STATUS = {
    "nodes": [{"node": node, "name": f"n{node}", "up": True} for node in (1, 2, 3)],
    "groups": [{"group": f"s{number}", "leader": leader} for number, leader in enumerate((1, 2, 2, 3))],
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create(Shape(), {node: f"127.0.0.1:{7100 + node}" for node in (1, 2, 3)})
    return made


@pytest.fixture
def sleeper() -> Iterator[object]:
    """Starts processes that do nothing, with these arguments."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "import sys; sys.stdin.read()", *arguments]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()


def write_pid(home: Home, node: int, pid: int) -> None:
    (home.node_folder(node) / "pid").write_text(f"{pid}\n")


def test_the_victim_is_the_node_of_the_running_up_that_leads_most(home: Home, sleeper) -> None:
    with up.lock(home):
        nodes = {node: sleeper("--config", str(home.node_config(node))) for node in (1, 2, 3)}
        for node, process in nodes.items():
            write_pid(home, node, process.pid)
        found = victim.find(home, STATUS)
        assert (found.node, found.pid, found.led) == (2, nodes[2].pid, 2)
        found.kill()
        assert nodes[2].wait(30) == -9


def test_a_process_that_is_not_the_node_is_never_killed(home: Home, sleeper) -> None:
    with up.lock(home):
        write_pid(home, 1, sleeper("--config", "elsewhere").pid)
        write_pid(home, 2, os.getppid())
        write_pid(home, 3, 2**22 + 1)
        with pytest.raises(NoVictim, match="no node is a child of the `up`"):
            victim.find(home, STATUS)


def test_nothing_is_killed_where_nobody_would_start_it_again(home: Home) -> None:
    with pytest.raises(NoVictim, match="no `make up` runs"):
        victim.find(home, STATUS)
    program = "import sys; from txstore import up; from txstore.home import Home; lock = up.lock(Home(sys.argv[1]));"
    program += "print('locked', flush=True); sys.stdin.read()"
    pipe, environment = subprocess.PIPE, {**os.environ, "TXSTORE_RESTART_S": "never"}
    command = [sys.executable, "-c", program, str(home.path)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, cwd=root, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(NoVictim, match="TXSTORE_RESTART_S"):
            victim.find(home, STATUS)
        holder.communicate()


def test_nothing_is_killed_that_the_rest_cannot_spare(tmp_path: Path, home: Home) -> None:
    single = Home(tmp_path / "single")
    single.create(Shape(replicas=1), {node: f"127.0.0.1:{7100 + node}" for node in (1, 2, 3)})
    with up.lock(single), pytest.raises(NoVictim, match="1 of the 3 replicas"):
        victim.find(single, STATUS)
    nodes = [{**STATUS["nodes"][0], "up": False}, *STATUS["nodes"][1:]]
    with up.lock(home), pytest.raises(NoVictim, match="n1"):
        victim.find(home, {**STATUS, "nodes": nodes})
