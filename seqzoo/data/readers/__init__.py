"""Reading interactions from the files that publishers and other libraries use."""

from seqzoo.data.readers.read import read_interactions

__all__ = ["read_interactions"]
