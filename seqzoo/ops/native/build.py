"""Compile the kernels.

The package's own build calls this, before anything of seqzoo can be imported, so only the
standard library is used. The library has a plain C interface: one serves every Python and torch.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["FOLDER", "LIBRARY", "BuildError", "build", "source_fingerprint"]

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / ("kernels.dll" if sys.platform == "win32" else "kernels.so")

_FLAGS = (
    *("-O3", "-std=gnu11", "-fPIC", "-fvisibility=hidden", "-pthread"),
    *("-ffp-contract=fast", "-fno-math-errno"),
)
_X86_LEVELS: dict[str, tuple[str, ...]] = {
    "baseline": (),
    "avx2": ("-mavx2", "-mfma"),
    "avx512": ("-mavx512f", "-mavx2", "-mfma"),
}
"""Sets of instructions that the kernels are compiled for; the library chooses one at run time."""
_LEVELLED = (
    *("scan.c", "scan_last.c", "scan_step.c", "ssd_last.c", "convolution.c"),
    *("feed_forward.c", "gru.c", "program.c", "int8.c", "rank_counts.c"),
)
_COMMON = ("parallel.c",)


class BuildError(Exception):
    """The kernels cannot be compiled here."""


def source_fingerprint() -> str:
    """SHA-256 of the C source, which the library states too: an older one is not used."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(target: Path = LIBRARY) -> None:
    """Compile the kernels to a shared library.

    The environment variables ``CC`` and ``CFLAGS`` are respected.

    Raises:
        BuildError: there is no C compiler, or it cannot compile them.
    """
    compiler = _compiler()
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    levels = _X86_LEVELS if x86 else {"baseline": ()}
    flags = [*_FLAGS, *shlex.split(os.environ.get("CFLAGS", ""))]
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        jobs = [(name, "baseline") for name in _COMMON]
        jobs += [(name, level) for name in _LEVELLED for level in levels]
        for name, level in jobs:
            made = str(Path(folder) / f"{name}-{level}.o")
            defines = [f"-DLEVEL={level}", f'-DSEQZOO_SOURCE="{source_fingerprint()}"']
            source = ["-c", str(FOLDER / name), "-o", made]
            _run([*compiler, *flags, *levels[level], *defines, *source])
            objects.append(made)
        linked = str(Path(folder) / target.name)
        _run([*compiler, *flags, "-shared", *objects, "-lm", "-o", linked])
        # In one step, so that a process which has the old one loaded keeps it.
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.copyfile(linked, partial)
        partial.replace(target)


def _compiler() -> list[str]:
    chosen = shlex.split(os.environ.get("CC", ""))
    for command in [chosen] if chosen else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    tried = f"CC={' '.join(chosen)}" if chosen else "cc, gcc, clang"
    raise BuildError(f"no C compiler found (tried {tried})")


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
