"""Benchmarks to run by hand on an idle machine: ``python -m benchmarks``."""
