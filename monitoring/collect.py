"""The facts that the checks judge, asked of the cluster through its client, and nothing else.

One question serves all checks that begin together: facts younger than FRESH_S are shared, and who comes while they are
being asked for waits for them. So a cluster that is slow to answer is not asked seven times at once.

*Invariant*: asking never fails: that there is no answer is a fact, too.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from monitoring.canary import Canary
from monitoring.rules import Sight, Trial
from monitoring.verdicts import FAIL
from nodes.client import Cluster
from nodes.errors import StoreError

STATUS_S = 3.0
FRESH_S = 0.5

_lock = threading.Lock()
_latest: tuple[float, Sight] | None = None
_pair: tuple[int, int] | None = None


def cluster() -> Cluster:
    """The client of this process, from the function that STORE_CLIENT names; Unavailable where there is no cluster."""
    client: Cluster = import_string(settings.STORE_CLIENT)()
    return client


def status() -> Sight:
    """The cluster's wide status, at most FRESH_S older than the call."""
    global _latest
    with _lock:
        if _latest is None or time.monotonic() - _latest[0] > FRESH_S:
            sight = _ask_status()
            _latest = (time.monotonic(), sight)
        return _latest[1]


def _ask_status() -> Sight:
    try:
        return Sight(cluster().status(wide=True, timeout=STATUS_S))
    except StoreError as error:
        return Sight(None, str(error))


def canary() -> Trial:
    """A transaction of the canary, made now."""
    global _pair
    try:
        trial = Canary(cluster(), _pair)
        result = trial.run()
        _pair = trial.pair
    except StoreError as error:
        return Trial(FAIL, str(error))
    return result


SOURCES: dict[str, Any] = {"status": status, "canary": canary}
