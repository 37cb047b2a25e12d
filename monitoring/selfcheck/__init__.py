"""The self-check: workloads on a live cluster, and the verdict of a checker on what their clients were told."""
