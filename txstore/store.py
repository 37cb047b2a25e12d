"""The one client of this process. It is made at the first use: after the web server has forked its workers."""

from __future__ import annotations

import threading

from django.conf import settings

from nodes.client import Cluster
from nodes.errors import Unavailable

_lock = threading.Lock()
_cluster: Cluster | None = None


def cluster() -> Cluster:
    """The client of the home's cluster; Unavailable while the home has none."""
    global _cluster
    if _cluster is None:
        with _lock:
            _cluster = _cluster or _connect()
    return _cluster


def _connect() -> Cluster:
    addresses = settings.HOME.node_addresses()
    if not addresses:
        raise Unavailable("this home has no cluster yet: start it with `make up`")
    return Cluster.connect(",".join(addresses), secret=settings.HOME.cluster_secret())
