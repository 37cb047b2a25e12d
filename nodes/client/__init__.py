"""The client: the only door to the store for programs outside of it, Django included."""

from nodes.client.cluster import Cluster as Cluster
from nodes.client.cluster import Rows as Rows
