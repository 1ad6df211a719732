"""Trainings declared as data, and the ledger of their results."""
