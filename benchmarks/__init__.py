"""Comparisons to run by hand, on a machine that does nothing else: ``python -m benchmarks``."""
