"""What the cluster page shows of a status: who is missing and since when, and that nothing is left without words."""

from __future__ import annotations

from typing import Any

from monitoring import dashboard
from nodes.errors import Unavailable
from nodes.runtime import activity
from tests.admin.conftest import NOW_MS, FakeCluster, group, node, status


def picture(**changes: Any) -> dict[str, Any]:
    return dashboard.picture(status(**changes), NOW_MS)


def cells(shown: dict[str, Any]) -> list[tuple[str, str]]:
    return [(cell["node"], cell["words"]) for cell in shown["groups"][0]["cells"]]


def test_a_healthy_cluster_raises_no_alarm() -> None:
    shown = picture()
    assert (shown["silent"], shown["leaderless"]) == ([], [])
    assert [group["is_bad"] for group in shown["groups"]] == [False, False]
    assert [(one["leader"], one["epoch"]) for one in shown["groups"]] == [("n1", "ballot 3.n1"), ("n2", "term 7")]
    assert [node["leads"] for node in shown["nodes"]] == [["c1"], ["s1"], []]


def test_a_silent_node_is_told_with_the_time_since_when() -> None:
    (silent,) = picture(nodes=[node(1), node(2, up=False, since_ms=NOW_MS - 200_000), node(3)])["silent"]
    assert (silent["name"], silent["age"], silent["since"]) == ("n2", "3 min", "2023-11-14 22:10:00")


def test_aborts_are_told_by_their_causes_most_frequent_first() -> None:
    def words(**changes: Any) -> str:
        return next(str(tile["words"]) for tile in picture(**changes)["tiles"] if tile["kind"] == "aborted")

    aborts = {"constraint": 1, "timed_out": 7, "wounded": 7}
    assert words(aborts=aborts).endswith("; since the nodes began: 7 timed out, 7 wounded, 1 constraint")
    assert "since" not in words(aborts={})


def test_each_replica_says_how_it_is() -> None:
    shown = picture(groups=[group("s1", 1, 7, n2={"lag": 5}, n3={})])
    assert cells(shown) == [("n1", "leader"), ("n2", "5 behind"), ("n3", "not reached")]
    assert shown["groups"][0]["is_bad"]
    shown = picture(groups=[group("s1", 1, 7, n2={"stopped": "cannot apply slot 9"}, n3={"lag": 0})])
    assert cells(shown) == [("n1", "leader"), ("n2", "stopped"), ("n3", "in step")]
    assert shown["groups"][0]["cells"][1]["title"] == "cannot apply slot 9"


def test_only_a_lag_that_is_worth_telling_stands_out() -> None:
    lag = dashboard.LAG_WORTH_TELLING
    shown = picture(groups=[group("s1", 1, 7, n2={"lag": lag - 1}, n3={"lag": lag})])
    assert [cell["kind"] for cell in shown["groups"][0]["cells"]] == ["leader", "ok", "behind"]


def test_a_node_without_a_replica_of_a_group_is_not_missed_there() -> None:
    one = group("s1", 1, 7, n3={})
    one["members"] = [1, 2]
    assert cells(picture(groups=[one])) == [("n1", "leader"), ("n2", "in step"), ("n3", "no replica")]


def test_a_replica_that_only_learns_is_told_so_and_missed_while_it_is_not_reached() -> None:
    one = group("s1", 1, 7, n3={"lag": 900})
    one |= {"members": [1, 2], "learners": [3]}
    shown = picture(groups=[one])
    assert cells(shown) == [("n1", "leader"), ("n2", "in step"), ("n3", "learns")]
    assert not shown["groups"][0]["is_bad"]
    one["replicas"] = one["replicas"][:2]
    assert cells(picture(groups=[one]))[2] == ("n3", "not reached")


def test_who_leaves_and_who_waits_is_told_and_who_is_gone_is_not_missed() -> None:
    shown = picture(leaving=[[2, 0]], waiting=[[4, "127.0.0.1:7104", "aa"]], gone=[5])
    assert [node["is_leaving"] for node in shown["nodes"]] == [False, True, False]
    assert shown["waiting"] == ["n4 (127.0.0.1:7104)"]
    assert shown["silent"] == []


def test_a_group_without_a_leader_is_told() -> None:
    shown = picture(groups=[group("s1", None, 7)])
    assert (shown["leaderless"], shown["groups"][0]["leader"], shown["groups"][0]["is_bad"]) == (["s1"], "", True)


def test_the_tiles_tell_rates_and_what_is_in_doubt() -> None:
    tiles = {tile["kind"]: tile for tile in picture(in_doubt={"count": 2, "oldest_ms": 65_000})["tiles"]}
    assert (tiles["committed"]["value"], tiles["read"]["value"], tiles["aborted"]["value"]) == ("4.0", "2.0", "0.1")
    assert (tiles["doubt"]["value"], tiles["doubt"]["words"]) == ("2", "prepared, the oldest for 65 s")
    tiles = {tile["kind"]: tile for tile in picture(in_doubt={"count": 1, "oldest_ms": 3})["tiles"]}
    assert tiles["doubt"]["words"] == "prepared, the oldest for 3 ms"
    assert {tile["kind"]: tile for tile in picture()["tiles"]}["doubt"]["words"] == "nothing waits for an outcome"


def test_every_kind_of_change_has_its_words() -> None:
    kinds = {value for name, value in vars(activity).items() if name.isupper() and isinstance(value, str)}
    assert kinds == set(dashboard.WORDS)
    assert set(dashboard.WORDS) >= dashboard.BAD


def test_a_change_tells_who_saw_it() -> None:
    change = {"at_ms": NOW_MS - 3_000, "kind": "lost", "node": 2, "group": "", "words": "", "seen_by": [1, 3]}
    (told,) = picture(changes=[change])["changes"]
    assert (told["words"], told["seen_by"], told["age"]) == ("the connection to n2 is lost", "n1, n3", "3 s")
    assert told["is_bad"]


def test_a_change_of_a_kind_of_tomorrow_is_told_all_the_same() -> None:
    change = {"at_ms": NOW_MS, "kind": "moved", "node": 2, "group": "s1", "words": "", "seen_by": [2]}
    (told,) = picture(changes=[change])["changes"]
    assert told["words"] == "n2: moved"


def test_a_cluster_that_is_silent_shows_its_last_picture_and_since_when(cluster: FakeCluster) -> None:
    before = dashboard.cluster()
    cluster.answers["status"] = Unavailable("no node answers")
    first, second = dashboard.cluster(), dashboard.cluster()
    assert first["silence"]["why"] == "no node answers"
    assert first["silence"]["has"]
    assert first["silence"]["since"] == second["silence"]["since"]
    assert [node["name"] for node in first["nodes"]] == [node["name"] for node in before["nodes"]]
    cluster.answers["status"] = status()
    assert "silence" not in dashboard.cluster()


def test_a_cluster_that_never_answered_is_told_without_a_picture(cluster: FakeCluster) -> None:
    cluster.answers["status"] = Unavailable("this home has no cluster yet")
    shown = dashboard.cluster()
    assert (shown["nodes"], shown["silence"]["has"]) == ([], False)
