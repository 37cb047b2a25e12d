"""A flip is told to a real HTTP server, again and again until it takes it, and once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from monitoring import notify, tasks
from monitoring.models import Flip
from tests.receiver import Receiver, receiving

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    with receiving() as found:
        settings.NOTIFY_URL = found.url
        yield found


def flip(before: str = "ok", after: str = "fail", at: datetime = AT) -> Flip:
    return Flip.objects.create(
        check_name="node_answers", subject="n2", at=at, before=before, after=after, cause="n2 did not answer"
    )


def test_a_flip_is_one_post_of_json(receiver):
    row = flip()
    tasks.tell.apply(args=[row.pk]).get()
    assert receiver.got == [
        {
            "id": row.pk,
            "check": "node_answers",
            "subject": "n2",
            "at": "2026-01-02T03:04:05Z",
            "before": "ok",
            "after": "fail",
            "cause": "n2 did not answer",
            "type": "application/json",
        }
    ]
    row.refresh_from_db()
    assert row.told_at is not None


def test_what_was_told_is_not_told_again(receiver):
    row = flip()
    for _ in range(2):
        tasks.tell.apply(args=[row.pk]).get()
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [500, 503, 404, 302])
def test_what_is_not_taken_is_tried_again(receiver, status):
    receiver.statuses = [status, status]
    row = flip()
    tasks.tell.apply(args=[row.pk])
    assert len(receiver.got) == 3
    row.refresh_from_db()
    assert row.told_at is not None


def test_it_is_given_up_in_the_end_and_the_flip_stays_untold(receiver):
    receiver.statuses = [500] * 50
    row = flip()
    tasks.tell.apply(args=[row.pk])
    assert len(receiver.got) == 1 + tasks.TELL_TRIES
    row.refresh_from_db()
    assert row.told_at is None


def test_a_receiver_that_is_not_there_is_an_error_that_can_be_tried_again():
    with pytest.raises(notify.NotTold, match="did not take it"):
        notify.post("http://127.0.0.1:9/hook", {})


def test_only_what_touches_warn_or_fail_is_news():
    assert not notify.is_news("ok", "unknown")
    assert not notify.is_news("unknown", "ok")
    assert notify.is_news("warn", "ok")
    assert notify.is_news("unknown", "fail")


def test_a_new_worker_tells_what_the_last_one_left(receiver, monkeypatch):
    sent: list[int] = []
    monkeypatch.setattr(tasks.tell, "delay", sent.append)
    young = timezone.now() - timedelta(hours=1)
    left = flip(at=young)
    flip(at=young, before="ok", after="unknown")
    flip(at=timezone.now() - timedelta(days=2))
    Flip.objects.filter(pk=flip(at=young).pk).update(told_at=young)
    tasks.tell_what_is_left()
    assert sent == [left.pk]


def test_without_an_address_nothing_is_told(settings, monkeypatch):
    settings.NOTIFY_URL = ""
    monkeypatch.setattr(tasks.tell, "delay", pytest.fail)
    flip(at=timezone.now())
    tasks.tell_what_is_left()
    tasks.tell.apply(args=[flip().pk]).get()
