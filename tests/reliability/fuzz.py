"""Read damaged content by the thousand, in a process whose memory is limited.

From a checkout::

    python -m tests.reliability.fuzz --cases 10000                   # every reader
    python -m tests.reliability.fuzz --cases 10000 --reader CSV
    python -m tests.reliability.fuzz --reader CSV --case 1234        # one case again

Case ``n`` of a reader is the same on every machine with the same versions of the libraries.
"""

import argparse
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from tests.reliability.readers import load_all

MEMORY = 1 << 30
"""Bytes that a reader's process may reserve beyond what it has before the first case."""
GROWTH = 512 << 20
"""Bytes by which its memory in use may grow over all cases."""
SECONDS = 30.0
"""How long a case may compute; a machine that is busy otherwise makes no failure."""
WAIT = 300.0
"""How long a case may take in all, in seconds."""
LONGEST = 2000
"""Characters of a message."""

_PRELOADED = [
    "torch",
    "polars",
    "seqzoo.model.sequence_model",
    "seqzoo.training.run",
    "torch._dynamo",
    "huggingface_hub.repocard_data",
    "seqzoo.cli.app",
]
_TRACES = (b"Traceback (most recent call last)", b"panicked at", b"Fatal Python error")


@dataclass(frozen=True)
class Outcome:
    """How reading ended.

    Attributes:
        verdict: ``read`` or ``refused``; for a failure ``exception``, ``message``, ``stderr``,
            ``died`` or ``hung``.
        detail: the message, or the traceback.
        growth: bytes by which the memory of the process has grown at most.
    """

    verdict: str
    detail: str = ""
    growth: int = 0

    @property
    def failed(self) -> bool:
        """Whether a user would see more than an answer or one line."""
        return self.verdict not in ("read", "refused")


def serve(name: str, home: str, pipe: Connection) -> None:
    """Make a reader and read what comes through the pipe; runs in a process of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.pop("SEQZOO_DATA", None)
    with open(Path(home) / "stderr", "w+b", buffering=0) as said:
        os.dup2(said.fileno(), 2)
        folder = Path(home) / "files"
        folder.mkdir()
        reader = load_all()[name][1](folder)
        valid = [_read(reader, seed) for seed in reader.seeds]
        limit = _status("VmSize") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
        pipe.send((list(reader.seeds), valid))
        while (content := pipe.recv()) is not None:
            at = os.lseek(2, 0, os.SEEK_END)
            verdict, detail = _read(reader, content)
            written = os.pread(said.fileno(), 1 << 16, at)
            if verdict in ("read", "refused") and any(trace in written for trace in _TRACES):
                verdict, detail = "stderr", written.decode("utf-8", "replace")
            if at > 1 << 24:
                os.ftruncate(2, 0)
            pipe.send((verdict, detail[-4000:], max(0, _status("VmHWM") - before)))


def _read(reader: Any, content: bytes) -> tuple[str, str]:
    from seqzoo.errors import SeqzooError

    try:
        reader.read(content)
    except SeqzooError as error:
        text = str(error)
        if "\n" in text or not text or len(text) > LONGEST:
            return "message", f"{len(text)} characters: {text[:500]!r}"
        return "refused", text
    except BaseException:
        return "exception", traceback.format_exc()
    return "read", ""


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    return 0


class Worker:
    """A reader in a process of its own, which is started again if it dies."""

    def __init__(self, name: str) -> None:
        self.name, self.growth = name, 0
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)
        self._start()

    def _start(self) -> None:
        self._home = tempfile.mkdtemp(prefix="seqzoo-fuzz-")
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=serve, args=(self.name, self._home, theirs), daemon=True
        )
        self._process.start()
        theirs.close()
        try:
            self.seeds, valid = self._pipe.recv()
        except EOFError:
            said = (Path(self._home) / "stderr").read_text("utf-8", "replace")
            raise RuntimeError(f"the reader '{self.name}' could not be made:\n{said}") from None
        broken = [detail for verdict, detail in valid if verdict not in ("read", "refused")]
        assert not broken, f"{self.name}: valid content fails: {broken[0]}"
        # At least one must be readable, or all cases would fail for the same reason.
        assert any(verdict == "read" for verdict, _ in valid), f"{self.name}: {valid}"

    def read(self, content: bytes) -> Outcome:
        """Read one content."""
        self._pipe.send(content)
        try:
            if not self._answers():
                outcome = Outcome("hung", f"no end after {SECONDS:.0f} s of computing")
            else:
                verdict, detail, growth = self._pipe.recv()
                self.growth = max(self.growth, growth)
                return Outcome(verdict, detail, growth)
        except (EOFError, ConnectionResetError):
            self._process.join(10)
            said = (Path(self._home) / "stderr").read_bytes()[-2000:].decode("utf-8", "replace")
            outcome = Outcome("died", f"exit code {self._process.exitcode}: {said}")
        self.close()
        self._start()
        return outcome

    def _answers(self) -> bool:
        """Wait for the end of a case; False if it takes too long."""
        before, until = self._computed(), time.monotonic() + WAIT
        while not self._pipe.poll(1.0):
            if time.monotonic() > until or self._computed() - before > SECONDS:
                return False
        return True

    def _computed(self) -> float:
        """Seconds of processor time that the process has used; 0 if it has ended."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the process."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(10)
        self._pipe.close()
        shutil.rmtree(self._home, ignore_errors=True)


@contextmanager
def worker_of(name: str) -> Iterator[Worker]:
    """A worker that is closed at the end."""
    worker = Worker(name)
    try:
        yield worker
    finally:
        worker.close()


def content_of(name: str, case: int, seeds: Sequence[bytes]) -> bytes:
    """The damaged content of a case."""
    return load_all()[name][2](seeds, Random(f"{name}/{case}"))


@dataclass
class Result:
    """The cases of one reader.

    Attributes:
        reader: its name.
        area: its area.
        cases: number of cases.
        read: how many were read; ``refused`` of them with one line.
        failures: the failed cases by number, at most one for each kind of failure in ``examples``.
        growth: bytes by which the memory of the process has grown at most.
        seconds: what all cases took.
    """

    reader: str
    area: str
    cases: int = 0
    read: int = 0
    refused: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)
    growth: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "reader": self.reader, "area": self.area, "cases": self.cases, "read": self.read,
            "refused": self.refused, "failed": sum(self.failed.values()),
            "kinds": dict(self.failed), "examples": self.examples,
            "growth_mb": round(self.growth / 1e6), "seconds": round(self.seconds),
        }  # fmt: skip


def kind_of(outcome: Outcome) -> str:
    """What two failures have in common: the verdict, or the exception and its place in seqzoo."""
    first = (outcome.detail.splitlines() or [""])[0]
    if outcome.verdict == "message":
        return "message"
    if outcome.verdict != "exception":
        return f"{outcome.verdict}: {first[:160]}"
    lines = [line.strip() for line in outcome.detail.splitlines() if line.strip()]
    places = [line for line in lines if line.startswith("File ") and "/seqzoo/" in line]
    raised = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(:|$)", line)]
    place = places[-1].rpartition("/")[2] if places else ""
    return f"{(raised or lines)[-1].partition(':')[0]} at {place}"


def fuzz(name: str, cases: Sequence[int], budget: float | None = None) -> Result:
    """Read the cases of one reader, for at most ``budget`` seconds."""
    area, _, mutate = load_all()[name]
    result, started = Result(name, area), time.monotonic()
    with worker_of(name) as worker:
        for case in cases:
            if budget is not None and time.monotonic() - started > budget:
                break
            outcome = worker.read(mutate(worker.seeds, Random(f"{name}/{case}")))
            result.cases += 1
            result.read += outcome.verdict == "read"
            result.refused += outcome.verdict == "refused"
            if outcome.failed:
                kind = kind_of(outcome)
                result.failed[kind] += 1
                result.examples.setdefault(kind, []).append(case)
                del result.examples[kind][5:]
        result.growth = worker.growth
    result.seconds = time.monotonic() - started
    return result


def main() -> int:
    """Run from the command line; exit code 1 if a case failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=300, help="for each reader")
    parser.add_argument("--reader", action="append", help="name of a reader (default: all)")
    parser.add_argument("--case", type=int, help="one case, with its content and its traceback")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    names = options.reader or list(load_all())
    if options.case is not None:
        with worker_of(names[0]) as worker:
            content = content_of(names[0], options.case, worker.seeds)
            print(repr(content[:3000]))
            outcome = worker.read(content)
        print(f"{outcome.verdict}: {outcome.detail}")
        return int(outcome.failed)
    results = []
    for name in names:
        result = fuzz(name, range(options.cases))
        results.append(result.to_json())
        print(json.dumps(results[-1], ensure_ascii=False), flush=True)
        if options.json:
            options.json.write_text(
                json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8"
            )
    failed = sum(result["failed"] for result in results)
    print(f"{len(results)} readers, {sum(r['cases'] for r in results)} cases, {failed} failures")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
