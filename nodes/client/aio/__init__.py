"""The client for asyncio: the names of `nodes.client`, awaited."""

from nodes.client import interactive
from nodes.client.aio.cluster import Cluster as Cluster
from nodes.client.statements import Rows as Rows

Transaction = interactive.Interactive
