"""The client for asyncio: the names of `nodes.client`, awaited."""

from nodes.client.aio.cluster import Cluster as Cluster
from nodes.client.calls import Rows as Rows
