"""The chart of a run: what it looks like, what of a real run it shows, and that looking on changes nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from textwrap import dedent

from nodes import ids
from nodes.core.membership import Members, encode_members
from nodes.core.paxos.messages import Prepare
from nodes.core.raft.messages import Append, Vote
from nodes.core.replicated_log import Entry
from nodes.core.txn.entries import EndTxn, encode
from nodes.core.txn.messages import Decided
from tests.sim import phrases
from tests.sim.chart import LEGEND, WIDTH, chart
from tests.sim.failure import cut_at
from tests.sim.record import DOWN, PAUSED, UP, Recorder, Step
from tests.sim.simulation import simulate

TXN = ids.mint(7, 2, 3, 17, "c1", b"abc")
ALL_UP = (UP, UP, UP)


def test_a_chart_reads_like_this() -> None:
    late = ("late 312 ms", "crossed")
    steps = [
        Step(1_000_000, ALL_UP, "request 4: add 3 -5", 1, ">"),
        Step(1_001_000, ALL_UP, "Execute n1.1.4", 1, to=2, group="s1"),
        Step(1_001_500, ALL_UP, "Heartbeat term=4", 1, to=2, group="s0", is_quiet=True),
        Step(1_001_700, ALL_UP, "HeartbeatReply term=4", 2, to=1, group="s0", is_lost=True, is_quiet=True),
        Step(1_002_000, (UP, UP, DOWN), "crashes", 3, "X"),
        Step(1_002_500, (UP, PAUSED, DOWN), "Append term=4", 2, to=3, group="s1", marks=("lost",), is_lost=True),
        Step(2_003_000, ALL_UP, "Voted n1.1.4", 3, to=1, group="gw", marks=late),
    ]
    drawn = """\
                n1        n2        n3         group
        1.0000  >         │         │       request 4: add 3 -5
        1.0010  ├────────>│         │  s1   Execute n1.1.4
        1.0020  │         │         X       crashes
        1.0025  │         ├────────x   s1   (lost) Append term=4
        1.0025  │·········│·········│       2 heartbeats and answers, 1 lost: n1 for s0
        2.0030  │<────────┼─────────┤  gw   (late 312 ms, crossed) Voted n1.1.4
    """
    assert chart(steps) == LEGEND + ["    " + line for line in dedent(drawn).splitlines()]
    assert chart(steps, last=2) == [*LEGEND, *chart(steps)[-2:]]


def test_messages_are_told_in_short_words_consensus_and_transactions_alike() -> None:
    end = Entry(13, 4, encode(EndTxn(TXN, True, 0)))
    words = "Append term=4 prev=12/4 entries=13/4:EndTxn n2.3.17 commit,14/4:nothing commit=12"
    assert phrases.phrase("s1", Append(4, 12, 4, [end, Entry(14, 4, b"")], 12)) == words
    change = Entry(15, 4, encode_members(Members((1, 2, 3), (4,), former=(5,))))
    assert phrases.entry("c1", change) == "15/4:Members voters=1,2,3 learners=4 former=5"
    assert phrases.phrase("s1", Vote(4, False)) == "Vote term=4 not granted"
    assert phrases.phrase("c1", Prepare(3 << 8 | 2, 5)) == "Prepare ballot=3.2 from_slot=5"
    assert phrases.phrase("gw", Decided(TXN, False, 0, "wounded")) == "Decided n2.3.17 not commit reason=wounded"
    assert phrases.with_names(f"{TXN.hex()} or {ids.to_text(TXN)}") == "n2.3.17 or n2.3.17"


def test_a_violation_that_is_found_late_is_charted_where_what_it_names_was_told() -> None:
    steps = [Step(number, ALL_UP, f"request {number} is told that") for number in range(200)]
    assert cut_at(steps, "operation 100 is committed twice")[-1].words == "request 120 is told that"
    assert cut_at(steps, "somebody is behind") == steps


def test_a_run_with_crashes_is_shown_with_all_that_matters_and_is_the_same_as_unseen() -> None:
    recorder = Recorder()
    report = simulate(7, "crash", recorder=recorder)
    lines = chart(recorder.steps)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= WIDTH
    for words in (
        r"├────────>│ .* s\d   Append term=\d+ prev=", r"│<────────┤ .* c\d   Accepted ballot=\d+\.\d",
        r"├─────────┼────────>│", r"  Execute n\d\.\d\.\d+ .*finish=", r"  Outcome n\d\.\d\.\d+ commit ",
        r"X .* crashes", r"\^ .* starts", r"x[│─┼ ].*\(lost", r"L .* leads s\d in epoch \d", r"s .* synced ",
        r"> .* request \d+ \(\d+ ms\): ", r"< .* request \d+ is told ", r"s1 chosen and applied \d+/\d+:",
        r"heartbeats and answers: n\d for ", r"weather: ", r"\(crossed\)", r"\[\d+ \w+\]",
    ):  # fmt: skip
        assert re.search(words, text), words
    assert simulate(7, "crash").trace == report.trace


def test_any_run_is_traced_by_one_command() -> None:
    command = [sys.executable, "-m", "tests.sim", "--seed", "8", "--profile", "calm", "--trace"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "├────────>│" in done.stdout
    assert "seed 8, profile calm: sound" in done.stdout.splitlines()[-1]
