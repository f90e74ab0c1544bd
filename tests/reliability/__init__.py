"""Attacks on seqzoo that are counted: docs/reliability.md has their results."""
