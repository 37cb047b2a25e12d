"""The client of this process. It is made at the first use: after the web server has forked its workers; and anew when
the home has other nodes, for some joined or were removed.

*Invariant*: a client that was handed out stays open for at least LOOK_EVERY_S after another one took its place.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from django.conf import settings

from nodes.client import Cluster
from nodes.errors import Unavailable
from txstore.home import HomeError

LOOK_EVERY_S = 5.0

_lock = threading.Lock()
_cluster: Cluster | None = None
_former: Cluster | None = None
_addresses: list[str] = []
_look_again_at = 0.0


def cluster() -> Cluster:
    """The client of the home's cluster; Unavailable while the home has none."""
    if _cluster is None or time.monotonic() >= _look_again_at:
        with _lock:
            if _cluster is None or time.monotonic() >= _look_again_at:
                _look()
    if _cluster is None:
        raise Unavailable("this home has no cluster yet: start it with `make up`")
    return _cluster


def _look() -> None:
    """What cannot be read now leaves the client as it is."""
    global _cluster, _former, _addresses, _look_again_at
    addresses = _addresses
    with suppress(HomeError, OSError):
        addresses = settings.HOME.node_addresses() or _addresses
    if addresses != _addresses:
        client = Cluster.connect(",".join(addresses), secret=settings.HOME.cluster_secret())
        if _former is not None:
            _former.close()
        _cluster, _former, _addresses = client, _cluster, addresses
    _look_again_at = time.monotonic() + LOOK_EVERY_S
