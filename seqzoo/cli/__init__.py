"""The command line: ``seqzoo VERB``. One module per verb; ``main`` is the installed script.

A verb is registered in ``seqzoo.builtin``. Its module is imported only when the verb runs or shows
its own help, so ``seqzoo list`` and ``seqzoo --help`` answer at once.
"""

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process and exit.

    The exit code is 0 on success, 1 if the answer is no (drift, a failed check), 2 for wrong usage
    or input, 130 after Ctrl-C.
    """
    try:
        # Imported here, so that Ctrl-C during the import is quiet too.
        from seqzoo.cli.app import run
        from seqzoo.cli.stdout import reserve
        from seqzoo.cli.threads import limit_stray_threads

        code = run(sys.argv[1:], reserve())
        limit_stray_threads(code)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
