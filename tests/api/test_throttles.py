"""A caller has so many requests at once, which come back evenly; then it is told when to come back."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from knox.models import AuthToken

from tests.api.conftest import FakeCluster
from tests.api.test_errors import check_problem
from txstore import api_settings
from txstore.api.throttles import CallerThrottle

ONE = {"statements": [{"sql": "SELECT 1"}]}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Three requests at once, one comes back every 20 seconds."""
    clock = Clock()
    monkeypatch.setattr(CallerThrottle, "timer", lambda self: clock())
    monkeypatch.setattr(
        CallerThrottle, "THROTTLE_RATES", {"transactions": "3/min", "questions": "3/min", "tokens": None}
    )
    return clock


def statuses(api: Any, count: int) -> list[int]:
    answers = [api.post("/api/v1/transactions", ONE, content_type="application/json") for _ in range(count)]
    return [answer.status_code for answer in answers]


def test_what_is_too_many_is_told_when_to_come_back(api: Any, cluster: FakeCluster, clock: Clock) -> None:
    assert statuses(api, 3) == [200] * 3
    response = api.post("/api/v1/transactions", ONE, content_type="application/json")
    problem = check_problem(response, 429, "too_many_requests")
    assert (problem["outcome"], problem["retryable"]) == ("did_not_happen", True)
    assert response["Retry-After"] == "20"
    assert len(cluster.asked) == 3


def test_requests_come_back_evenly_and_never_more_than_there_were(api: Any, cluster: FakeCluster, clock: Clock) -> None:
    assert statuses(api, 4) == [200, 200, 200, 429]
    clock.now += 20
    assert statuses(api, 2) == [200, 429]
    clock.now += 41
    assert statuses(api, 3) == [200, 200, 429]
    clock.now += 3_600
    assert statuses(api, 4) == [200, 200, 200, 429]


def test_a_refused_request_takes_none(api: Any, cluster: FakeCluster, clock: Clock) -> None:
    assert statuses(api, 20) == [200] * 3 + [429] * 17
    clock.now += 20
    assert statuses(api, 1) == [200]


def test_users_and_scopes_are_counted_apart(api: Any, client: Any, cluster: FakeCluster, clock: Clock) -> None:
    assert statuses(api, 4)[-1] == 429
    assert [api.get("/api/v1/cluster").status_code for _ in range(4)] == [200, 200, 200, 429]
    token = AuthToken.objects.create(User.objects.create_superuser("carol"))[1]
    header = f"Bearer {token}"
    assert client.get("/api/v1/cluster", HTTP_AUTHORIZATION=header).status_code == 200


def test_a_scope_without_a_rate_is_not_counted(api: Any, clock: Clock) -> None:
    made = [api.post("/api/v1/tokens", {}, content_type="application/json") for _ in range(10)]
    assert {answer.status_code for answer in made} == {201}


def test_a_cache_that_fails_limits_nobody(
    api: Any, cluster: FakeCluster, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    class Broken:
        def get(self, *arguments: Any) -> None:
            raise ConnectionError("no Redis")

    monkeypatch.setattr(CallerThrottle, "cache", Broken())
    with caplog.at_level(logging.WARNING):
        assert statuses(api, 5) == [200] * 5
    assert "nobody is limited: no Redis" in caplog.text


def test_rates_are_set_by_the_environment() -> None:
    assert api_settings.rates({}) == api_settings.RATES
    found = api_settings.rates({"TXSTORE_THROTTLE_TOKENS": "5/h", "TXSTORE_THROTTLE_QUESTIONS": "none"})
    assert (found["tokens"], found["questions"]) == ("5/h", None)


@pytest.mark.parametrize("rate", ["5", "0/min", "-1/min", "x/min", "5/year", "5/", "/min", "1.5/s"])
def test_what_is_no_rate_is_refused_by_name(rate: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="TXSTORE_THROTTLE_TOKENS"):
        api_settings.rates({"TXSTORE_THROTTLE_TOKENS": rate})


def test_the_cache_is_this_process_or_a_redis() -> None:
    assert "locmem" in api_settings.cache("")["BACKEND"]
    assert api_settings.cache("redis://127.0.0.1:6379/1")["LOCATION"] == "redis://127.0.0.1:6379/1"
    for url in ("127.0.0.1:6379", "memcached://127.0.0.1", "file:///tmp/x"):
        with pytest.raises(ImproperlyConfigured, match="TXSTORE_CACHE_URL"):
            api_settings.cache(url)
