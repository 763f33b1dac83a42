"""Benchmarks: `python -m benchmarks` prints them all as Markdown. Ratios are the results; times belong to a machine."""
