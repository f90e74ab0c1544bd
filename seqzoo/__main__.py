"""``python -m seqzoo`` is the command ``seqzoo``."""

from seqzoo.cli import main

main()
