"""The command line: ``seqzoo VERB``. One module for each verb; ``main`` is what the script calls.

The verbs import what they work with inside their functions, so that ``seqzoo list`` and ``--help``
answer at once.
"""

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process and exit.

    The exit code is 0 where all is fine, 1 where the answer is no (drift), 2 where the usage or the
    input is wrong, 130 after Ctrl-C.
    """
    try:
        from seqzoo.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
