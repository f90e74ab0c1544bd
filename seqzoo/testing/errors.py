"""The error that the conformance kit raises."""

from seqzoo.errors import SeqzooError

__all__ = ["ConformanceError"]


class ConformanceError(SeqzooError):
    """A part fails a check; the message says what was found and where to look for the cause."""

    exit_code = 1
