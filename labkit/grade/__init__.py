"""Grading a class: notebooks that strangers wrote, run where they can do no harm.

``sandbox`` isolates, ``worker`` runs one notebook inside, ``session`` asks it from outside what its
functions give. Whoever judges sits outside: an answer that comes out is data, and never code.
"""
