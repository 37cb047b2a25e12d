"""The watch over REST: its state, its flips in pages, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import path
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from monitoring.models import Flip
from monitoring.record import Run, record
from monitoring.rules import TITLES
from monitoring.verdicts import Sample
from txstore.api import health

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PATH = "/api/v1/health"

pytestmark = pytest.mark.django_db


@pytest.fixture
def flips() -> list[int]:
    """Seven flips: n1 and n2 in turn, then one of the canary; their ids, newest first."""
    rows = [("node_answers", f"n{number % 2 + 1}") for number in range(6)] + [("canary", "cluster")]
    return [
        Flip.objects.create(
            check_name=check,
            subject=subject,
            at=START + timedelta(seconds=number),
            before="ok",
            after="fail",
            cause="?",
        ).pk
        for number, (check, subject) in enumerate(rows)
    ][::-1]


def test_health_tells_every_check_and_its_subjects(api):
    at = timezone.now()
    record(Run("1", "disk_space", at, 3), [Sample("n1", "ok", "n1 has 9 MiB free", 9.0)], 2)
    answer = api.get(PATH)
    assert answer.status_code == 200
    body = answer.json()
    assert body["state"] == "unknown"
    assert [check["check"] for check in body["checks"]] == list(TITLES)
    found = next(check for check in body["checks"] if check["check"] == "disk_space")
    iso = at.isoformat().replace("+00:00", "Z")
    assert (found["state"], found["stale"], found["at"], found["took_ms"]) == ("ok", False, iso, 3)
    assert found["subjects"] == [
        {"subject": "n1", "state": "ok", "since": iso, "words": "n1 has 9 MiB free", "value": 9.0}
    ]


def test_flips_come_newest_first_in_pages_that_lead_to_each_other(api, flips):
    seen, page_path = [], f"{PATH}/flips?limit=3"
    sizes = []
    while page_path:
        page = api.get(page_path).json()
        sizes.append(len(page["results"]))
        seen += [flip["id"] for flip in page["results"]]
        page_path = page["next"]
    assert (seen, sizes) == (flips, [3, 3, 1])


def test_a_last_page_that_is_full_leads_nowhere(api, flips):
    assert api.get(f"{PATH}/flips?limit=7").json()["next"] is None


def test_a_flip_has_its_cause_and_times(api, flips):
    assert api.get(f"{PATH}/flips?limit=1").json()["results"] == [
        {
            "id": flips[0],
            "check": "canary",
            "subject": "cluster",
            "at": "2026-01-02T03:04:11Z",
            "before": "ok",
            "after": "fail",
            "cause": "?",
            "told_at": None,
        }
    ]


def test_flips_are_filtered_by_check_and_subject_on_every_page(api, flips):
    page = api.get(f"{PATH}/flips?check=node_answers&subject=n2&limit=2").json()
    assert [flip["id"] for flip in page["results"]] == [flips[1], flips[3]]
    assert [flip["id"] for flip in api.get(page["next"]).json()["results"]] == [flips[5]]
    assert api.get(f"{PATH}/flips?subject=n9").json() == {"results": [], "next": None}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=%D9%A3", f"limit={'9' * 5000}",
        "after=0", "after=x", "after=", "after=9223372036854775808", "check=weather", "subject=%00", "before=3",
        "page=2",
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused_in_words(api, query):
    answer = api.get(f"{PATH}/flips?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert answer["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", [PATH, f"{PATH}/flips"])
def test_it_takes_a_token_and_only_get(api, client, path):
    assert api.get(path).status_code == 200
    assert api.post(path).status_code == 405
    del client.defaults["HTTP_AUTHORIZATION"]
    assert client.get(path).status_code == 401


def test_health_takes_no_parameters(api):
    assert api.get(f"{PATH}?check=canary").status_code == 400


def test_its_answers_are_described_for_openapi():
    views = {PATH: health.Health, f"{PATH}/flips": health.HealthFlips}
    patterns = [path(address[1:], view.as_view()) for address, view in views.items()]
    paths = SchemaGenerator(patterns=patterns).get_schema(public=True)["paths"]
    assert paths[PATH]["get"]["operationId"] == "health"
    described = paths[f"{PATH}/flips"]["get"]
    assert {parameter["name"] for parameter in described["parameters"]} == {"limit", "after", "check", "subject"}
    assert described["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/FlipPageForm")
