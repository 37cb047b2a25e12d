"""Workloads and peers side by side: `python -m benchmarks` (or `make bench`); see `__main__.py`."""
