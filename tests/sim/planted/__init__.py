"""Planted protocol bugs: each patch takes away one rule, and the simulator must find it within SEEDS seeds."""
