"""The pages of the admin: staff alone sees them, each state has its words, and nothing comes from elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from nodes.errors import NotFound, Unavailable
from nodes.requests import Transactions
from tests.admin.conftest import OTHER, TXN, FakeCluster, node, status
from tests.admin.test_transactions import STEPS, transaction

PAGES = ["/admin/cluster/", "/admin/transactions/", f"/admin/transactions/{TXN}/"]
PARTS = ["/admin/cluster/live/", "/admin/transactions/live/"]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def plain_static(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


@pytest.mark.parametrize("path", ["/admin/", *PAGES])
def test_a_visitor_is_led_to_the_login(client: Client, cluster: FakeCluster, path: str) -> None:
    answer = client.get(path, follow=True)
    assert answer.redirect_chain[-1][0].startswith("/admin/login/?next=/admin/")
    assert cluster.asked == []


@pytest.mark.parametrize("path", PAGES)
def test_a_user_who_is_not_staff_sees_nothing(client: Client, cluster: FakeCluster, path: str) -> None:
    client.force_login(User.objects.create_user("guest"))
    assert client.get(path).status_code == 302
    assert cluster.asked == []


@pytest.mark.parametrize("path", PARTS)
def test_a_part_tells_an_open_page_that_was_logged_out_the_way_to_the_login(
    client: Client, cluster: FakeCluster, path: str
) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/admin/login/")
    assert cluster.asked == []


@pytest.mark.parametrize("path", [*PAGES, *PARTS])
def test_pages_are_read_and_nothing_else(admin_client: Client, cluster: FakeCluster, path: str) -> None:
    assert admin_client.post(path).status_code == 405
    assert cluster.asked == []


def test_the_root_and_the_admin_lead_to_the_cluster_page(admin_client: Client, cluster: FakeCluster) -> None:
    answer = admin_client.get("/", follow=True)
    assert [path for path, _ in answer.redirect_chain] == ["/admin/", "/admin/cluster/"]


def test_the_navigation_begins_with_the_pages_of_the_store(admin_client: Client, cluster: FakeCluster) -> None:
    text = admin_client.get("/admin/cluster/").content.decode()
    links = re.findall(r'<a href="(/admin/[a-z/]*)" class="flex h-', text)
    assert links[:2] == ["/admin/cluster/", "/admin/transactions/"]
    assert "/admin/auth/user/" in links


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_loaded_from_another_host(admin_client: Client, cluster: FakeCluster, path: str) -> None:
    text = admin_client.get(path).content.decode()
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', text) == []


def test_the_cluster_page_shows_nodes_groups_and_rates(admin_client: Client, cluster: FakeCluster) -> None:
    text = text_of(admin_client.get("/admin/cluster/"))
    for words in ("n1", "n3", "c1", "s1", "ballot 3.n1", "term 7", "Transactions a second", "In doubt", "in step"):
        assert words in text
    assert "has not answered" not in text
    assert "Nothing has changed since the nodes started." in text


def test_the_cluster_page_tells_a_silent_node_and_a_silent_cluster(admin_client: Client, cluster: FakeCluster) -> None:
    cluster.answers["status"] = status(nodes=[node(1), node(2, up=False), node(3)])
    assert "n2 has not answered since" in text_of(admin_client.get("/admin/cluster/live/"))
    cluster.answers["status"] = Unavailable("no node answers: refused")
    text = text_of(admin_client.get("/admin/cluster/live/"))
    assert "The cluster has not answered since" in text
    assert "no node answers: refused" in text
    assert "Below is what was seen last." in text


def test_a_cluster_that_is_not_founded_yet_has_words(admin_client: Client, cluster: FakeCluster) -> None:
    cluster.answers["status"] = status(nodes=[], groups=[])
    assert "not founded yet" in text_of(admin_client.get("/admin/cluster/"))


def test_the_list_shows_what_was_asked_for_and_leads_on(admin_client: Client, cluster: FakeCluster) -> None:
    one = transaction(state="aborted", cause="was <wounded>")
    cluster.answers["transactions"] = Transactions([one], f"17.{TXN}", {1: 5}, [3])
    answer = admin_client.get("/admin/transactions/?filter=aborted")
    assert cluster.asked == [("transactions", ("aborted", 25, ""))]
    text = answer.content.decode()
    assert "was &lt;wounded&gt;" in text
    assert f'href="/admin/transactions/{TXN}/"' in text
    assert f"?filter=aborted&amp;after=17.{TXN}" in text
    assert "n3 did not answer" in text_of(answer)


def test_only_the_first_page_of_a_list_refreshes_itself(admin_client: Client, cluster: FakeCluster) -> None:
    assert b"transactions/live/?filter=slow" in admin_client.get("/admin/transactions/?filter=slow").content
    assert b"transactions/live/" not in admin_client.get(f"/admin/transactions/?after=17.{TXN}").content


def test_a_filter_that_is_none_shows_the_newest(admin_client: Client, cluster: FakeCluster) -> None:
    admin_client.get("/admin/transactions/?filter=fastest")
    assert cluster.asked == [("transactions", ("newest", 25, ""))]


def test_an_id_is_looked_up(admin_client: Client, cluster: FakeCluster) -> None:
    answer = admin_client.get(f"/admin/transactions/?id=+{TXN}+")
    assert answer.headers["Location"] == f"/admin/transactions/{TXN}/"
    for text in ("a/b", "..", "?", "%00", "x" * 500):
        assert admin_client.get("/admin/transactions/", {"id": text}, follow=True).status_code in (200, 404)


def test_a_transaction_is_shown_whole(admin_client: Client, cluster: FakeCluster) -> None:
    trace = cluster.answers["trace"]
    trace.transaction, trace.steps = transaction(), STEPS
    answer = admin_client.get(f"/admin/transactions/{TXN}/")
    text = text_of(answer)
    for words in (
        "UPDATE t SET x = $1",
        "1 parameter: integer. Their values are not kept.",
        "by c1 in ballot 3.n1, slot 12",
        "yes (term 4, slot 99)",
        "waits for a lock",
    ):
        assert words in text
    assert f'href="/admin/transactions/{OTHER}/"' in answer.content.decode()


def test_a_transaction_that_nobody_remembers_has_words(admin_client: Client, cluster: FakeCluster) -> None:
    text = text_of(admin_client.get(f"/admin/transactions/{TXN}/"))
    assert "No node remembers a step of it. They remember everything since 2023-11-14 22:13:20.000 UTC" in text


def test_what_is_no_transaction_is_not_found(admin_client: Client, cluster: FakeCluster) -> None:
    cluster.answers["trace"] = NotFound("no such transaction")
    answer = admin_client.get("/admin/transactions/nonsense/")
    assert (answer.status_code, "There is no such transaction." in text_of(answer)) == (404, True)


@pytest.mark.parametrize("path", PAGES)
def test_a_cluster_that_does_not_answer_is_told_on_each_page(
    admin_client: Client, cluster: FakeCluster, path: str
) -> None:
    for question in cluster.answers:
        cluster.answers[question] = Unavailable("no node answers: refused")
    answer = admin_client.get(path)
    assert answer.status_code == 200
    assert "no node answers: refused" in text_of(answer)
