"""Grading a class: runs untrusted notebooks in containers and judges their answers outside.

``container`` isolates a process, ``worker`` runs one notebook inside it, and ``session`` requests
the results of the notebook's functions. They arrive as data, never as code.
"""
