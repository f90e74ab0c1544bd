"""The one error of the conformance kit."""

from seqzoo.errors import SeqzooError


class ConformanceError(SeqzooError):
    """A part does not do what it promises; the message says what was seen and where to look."""

    exit_code = 1
