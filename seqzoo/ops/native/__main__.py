"""Compile the kernels into the installed package: ``python -m seqzoo.ops.native``."""

import sys

from seqzoo.ops.native.build import BuildError, build

if __name__ == "__main__":
    try:
        build()
    except BuildError as error:
        sys.exit(str(error))
