"""Write to a disk that is full, at every point.

From a checkout::

    python -m tests.reliability.disk_full --steps 100

Two kinds of limit, both real ones of the system: a small tmpfs (``No space left on device``), which
needs Linux with user namespaces, and ``RLIMIT_FSIZE`` (``File too large``). Each step gives an
operation a little more room. It must end well or with one line, and must leave nothing or a
complete checkpoint. With enough room it then ends as if nothing had happened.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.reliability.kill import Broken, Child, hub_for

if TYPE_CHECKING:
    from tests.reliability.operation import Operation

LARGEST = {
    "train": 800 << 10,
    "save": 200 << 10,
    "session": 60 << 10,
    "push": 60 << 10,
    "pull": 400 << 10,
}
"""Bytes of a disk on which the operation nearly or just ends well, beyond what is there before."""
LARGEST_FILE = {
    "train": 40 << 10,
    "save": 40 << 10,
    "session": 4 << 10,
    "push": 8 << 10,
    "pull": 40 << 10,
}
"""More bytes than the largest file has."""
SMALLEST_FILE = 400
"""Bytes for the message of the error, which goes into a file too."""
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
OPERATIONS = ("train", "save", "session", "push", "pull")
"""All but two runs in one folder."""


def has_namespaces() -> bool:
    """Whether this system lets us mount a file system of our own."""
    if shutil.which("unshare") is None:
        return False
    command = [*UNSHARE, "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def room(kind: str, disk: Path, size: int) -> None:
    """Give the disk, or each file, this many bytes."""
    if kind == "tmpfs":
        options = f"remount,size={max(size, 4096)}"
        subprocess.run(["mount", "-o", options, "none", str(disk)], check=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def attack(make: "type[Operation]", kind: str, sizes: list[int], home: Path) -> dict[str, Any]:
    """Run an operation with every size, and finish it with enough room."""
    found: dict[str, Any] = {"operation": make.name, "limit": kind, "cases": 0, "refused": 0}
    failures = []
    for size in sizes:
        disk = home / f"disk-{size}"
        disk.mkdir()
        if kind == "tmpfs":
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(disk)], check=True
            )
        operation = make(home / make.name)
        operation.home.mkdir(exist_ok=True)
        place(operation, disk)
        found["cases"] += 1
        try:
            Child(operation.prepare, home).expect()
            status = os.statvfs(disk)
            used = (status.f_blocks - status.f_bfree) * status.f_frsize
            # What is written before the limit is there; one more copy must not fit at first.
            room(kind, disk, used + size if kind == "tmpfs" else size)
            code, said = Child(operation.whole, home).wait()
            room(kind, disk, 64 << 20 if kind == "tmpfs" else resource.RLIM_INFINITY)
            if code == 2:
                found["refused"] += 1
                expected = "No space left on device" if kind == "tmpfs" else "File too large"
                *warnings, error = said.splitlines() or [""]
                # A pull without the card succeeds, and says so in another line.
                if expected not in error or any("was not fetched" not in w for w in warnings):
                    raise Broken(said)
            elif code != 0:
                raise Broken(f"exit code {code}: {said}")
            Child(operation.check, home).expect()
            Child(operation.finish, home).expect()
        except Broken as broken:
            failures.append(f"{size} bytes: {str(broken)[-400:]}")
        finally:
            room(kind, disk, 64 << 20 if kind == "tmpfs" else resource.RLIM_INFINITY)
            if kind == "tmpfs":
                subprocess.run(["umount", "-l", str(disk)], check=True)
    return {**found, "failed": len(failures), "failures": failures}


def place(operation: "Operation", disk: Path) -> None:
    """Let an operation write to the disk; what it compares with stays elsewhere."""
    from tests.reliability.operations import Pull, Push, Train

    if isinstance(operation, Push):
        operation.cache = disk / "cache"
    elif isinstance(operation, Pull):
        operation.cache, operation.folder = disk / "cache", disk / "copy"
    elif isinstance(operation, Train):
        operation.folder = disk / "run"
        if (operation.home / "epochs-1").exists():  # the reference is the same for all sizes
            operation.prepare = lambda: None  # type: ignore[method-assign]
    else:
        operation.home = disk


def main() -> int:
    """Run from the command line; exit code 1 if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=8, help="sizes of the disk")
    parser.add_argument("--operation", action="append", choices=OPERATIONS)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=["tmpfs", "file size"], action="append")
    options = parser.parse_args()
    kinds = options.kind or ["tmpfs", "file size"]
    if "tmpfs" in kinds and not options.inside:
        if has_namespaces():
            command = [sys.executable, "-m", "tests.reliability.disk_full", *sys.argv[1:]]
            os.execvp(UNSHARE[0], [*UNSHARE, *command, "--inside"])
        print("no user namespaces here: without tmpfs")
        kinds.remove("tmpfs")
    os.environ["OMP_NUM_THREADS"] = "1"
    home = Path(tempfile.mkdtemp(prefix="seqzoo-disk-"))
    try:
        with hub_for(home):
            return _run(options, kinds, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(options: argparse.Namespace, kinds: list[str], home: Path) -> int:
    from tests.reliability import operations

    results: list[dict[str, Any]] = []
    for kind in kinds:
        for name in options.operation or OPERATIONS:
            folder = home / kind / name
            folder.mkdir(parents=True)
            largest = (LARGEST if kind == "tmpfs" else LARGEST_FILE)[name]
            smallest = 0 if kind == "tmpfs" else SMALLEST_FILE
            steps = range(options.steps)
            sizes = [smallest + largest * step // options.steps for step in steps]
            results.append(attack(operations.OPERATIONS[name], kind, sizes, folder))
            print(json.dumps(results[-1]), flush=True)
            if options.json:
                options.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    return int(any(result["failed"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
