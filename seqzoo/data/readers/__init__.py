"""Readers of interactions: files of publishers and other libraries, and tables in memory."""

from seqzoo.data.readers.read import read_interactions

__all__ = ["read_interactions"]
