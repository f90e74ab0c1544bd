"""The version of seqzoo. CITATION.cff repeats it, and a test compares the two."""

__all__ = ["__version__"]

__version__ = "0.1.0"
