"""Tuning: search spaces, trials that may be pruned, a resumable study, a report."""
