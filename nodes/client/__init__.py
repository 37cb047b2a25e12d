"""The client: the only door to the store for programs outside of it, Django included. `aio` has the same, awaited."""

from nodes.client.calls import Rows as Rows
from nodes.client.cluster import Cluster as Cluster
