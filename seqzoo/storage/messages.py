"""Show untrusted values in messages: always short and on one line."""

import reprlib
from collections.abc import Sequence

from seqzoo.errors import CheckpointError

__all__ = ["RESTORE", "listing", "malformed", "shown"]

RESTORE = "fetch the checkpoint again or restore the file"
"""The usual remedy for a file that is not what seqzoo wrote."""


class _Short(reprlib.Repr):
    """Shows a value in a few characters, however large it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        # Python writes out no number of more than 4300 digits, and refuses with a ValueError.
        return super().repr_int(x, level) if abs(x) < 2**128 else f"<{x.bit_length()} bits>"


def malformed(
    where: object, what: str, found: object, expected: str, remedy: str = RESTORE
) -> CheckpointError:
    """The error for a value that is not what was expected."""
    return CheckpointError(f"{where}: {what} is {shown(found)}, expected {expected}; {remedy}")


def shown(value: object) -> str:
    """A value in at most 80 characters."""
    text = _Short().repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def listing(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
