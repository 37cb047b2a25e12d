"""The client: the only door to the store for programs outside of it, Django included. `aio` has the same, awaited."""

from nodes.client.cluster import Cluster as Cluster
from nodes.client.statements import Rows as Rows
from nodes.client.transaction import Transaction as Transaction
