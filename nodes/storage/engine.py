"""The engine protocol lives on the floor below, where the shard's state machine can see it."""

from nodes.core.engine import Engine, Evaluation

__all__ = ["Engine", "Evaluation"]
