"""The store: symmetric node processes that hold sharded, replicated data. Never imports Django."""
