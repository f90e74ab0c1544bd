"""The version of seqzoo. CITATION.cff repeats it, and a test compares the two."""

__version__ = "0.1.0"
