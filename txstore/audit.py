"""What operators have the cluster do, and the log of it (`Operation`).

*Invariant*: nothing is asked of the cluster before the log has it; what came of it is added afterwards.
"""

from __future__ import annotations

from nodes.errors import HAPPENED, StoreError
from nodes.ids import node_name
from nodes.requests import Leadership
from txstore import store
from txstore.models import Operation


def transfer_leader(group: str, node: int, by: str, via: str, timeout: float | None = None) -> Leadership:
    """As the client's (nodes/client/calls.py), and logged; raises what that raises."""
    row = Operation.objects.create(by=by, via=via, what=f"transfer-leader {group[:80]} {node_name(node)}")
    try:
        leadership = store.cluster().transfer_leader(group, node, timeout=timeout)
    except StoreError as error:
        row.outcome, row.words = error.info.outcome, str(error)
        raise
    else:
        row.outcome, row.words = HAPPENED, f"leads in epoch {leadership.epoch}"
        return leadership
    finally:
        row.save(update_fields=["outcome", "words"])
