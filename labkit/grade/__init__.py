"""Grading a class: runs untrusted notebooks in a sandbox and judges their answers outside.

``sandbox`` isolates a process, ``worker`` runs one notebook inside it, and ``session`` requests the
results of the notebook's functions. They arrive as data, never as code.
"""
