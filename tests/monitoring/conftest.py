"""The watch on a database of its own, and a cluster that says what the test tells it to."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring import collect
from tests.monitoring.cluster import status

answers: dict[str, Any] = {}


class FakeCluster:
    """Gives the status in `answers`, or raises it."""

    def status(self, wide: bool, timeout: float) -> Any:
        answer = answers["status"]
        if isinstance(answer, Exception):
            raise answer
        return answer


def fake_cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the cluster says: `told["status"]`, a healthy one unless it is changed; every question asks anew."""
    settings.STORE_CLIENT = f"{__name__}.fake_cluster"
    monkeypatch.setattr(collect, "FRESH_S", -1.0)
    answers["status"] = status()
    return answers
