"""Kill processes at random moments and look at what they leave.

From a checkout::

    python -m tests.reliability.kill --kills 500
    python -m tests.reliability.kill --kills 50 --operation train --seed 7

Each operation runs in a fork of this process, which has imported everything and runs nothing
itself, and gets SIGKILL, SIGTERM or Ctrl-C at a moment drawn from its duration. A second fork then
checks what is left: nothing, or a complete checkpoint that is one of the known ones, never a
mixture.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.reliability.operation import Operation

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SHARES = {"train": 8, "save": 3, "push": 3, "pull": 3, "two runs": 3, "session": 2}
"""How the kills are divided between the operations."""

_CRASHED = 70
_SERVER = """
import sys
from tests.hub.server import HubServer
with HubServer() as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


class Broken(Exception):  # noqa: N818
    """What was left is not what it must be."""


class Child:
    """A function in a fork of this process."""

    def __init__(self, function: Callable[[], object], home: Path) -> None:
        self._said = home / f"said-{time.monotonic_ns()}"
        self.pid = os.fork()
        if self.pid == 0:
            self._run(function)

    def _run(self, function: Callable[[], object]) -> None:
        from seqzoo.errors import SeqzooError

        code = _CRASHED
        try:
            os.dup2(os.open(self._said, os.O_RDWR | os.O_CREAT), 2)
            answer = function()
            if answer is not None:
                os.write(2, str(answer).encode())
            code = 0
        except KeyboardInterrupt:
            code = 130
        except SeqzooError as error:
            os.write(2, f"{type(error).__name__}: {error}".encode())
            code = 2
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)

    def kill(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def wait(self, seconds: float = 120.0) -> tuple[int, str]:
        """The exit code (negative for a signal), and what it said."""
        until = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                said = self._said.read_text("utf-8", "replace")[-300:]
                raise Broken(f"no end after {seconds:.0f} s {' '.join(said.split())}")
            time.sleep(0.002)
        said = self._said.read_text("utf-8", "replace") if self._said.exists() else ""
        self._said.unlink(missing_ok=True)
        return os.waitstatus_to_exitcode(status), said

    def expect(self) -> str:
        """What it said, if it ended well."""
        code, said = self.wait()
        if code != 0:
            raise Broken(f"exit code {code}: {said}")
        return said


@dataclass
class Result:
    """The kills of one operation.

    Attributes:
        operation: its name.
        kills: how many processes got a signal before they had ended.
        ended: how many had ended before the signal came.
        signals: the kills by signal.
        left: what was found afterwards, by name.
        failures: one line for each failure.
        seconds: what all of it took.
    """

    operation: str
    kills: int = 0
    ended: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "operation": self.operation, "kills": self.kills, "ended": self.ended,
            "signals": dict(self.signals), "left": dict(sorted(self.left.items())),
            "failed": len(self.failures), "failures": self.failures, "seconds": round(self.seconds),
        }  # fmt: skip


def attack(operation: "Operation", kills: int, seed: str, home: Path) -> Result:
    """Kill an operation until ``kills`` processes have died of it."""
    from tests.reliability.operation import INTERRUPTED, NOTHING_TO_KEEP

    chance = Random(seed)
    result, started = Result(operation.name), time.monotonic()
    Child(operation.prepare, home).expect()
    durations = []
    for _ in range(3):
        begun = time.monotonic()
        Child(operation.whole, home).expect()
        durations.append(time.monotonic() - begun)
        operation.forget()
    duration = statistics.median(durations)
    number = 0
    while result.kills < kills and number < 20 * kills + 20:
        number += 1
        sent = chance.choice(SIGNALS)
        try:
            children = [Child(attempt, home) for attempt in operation.attempts(number, chance)]
            time.sleep(chance.uniform(0.0, 1.1 * duration))
            victims = children if chance.randrange(2) else children[:1]
            for child in victims:
                child.kill(sent)
            codes = [child.wait() for child in children]
            for code, said in codes:
                if code == _CRASHED or (code == 2 and not operation.may_refuse(said)):
                    raise Broken(said)
            stopped = (INTERRUPTED, NOTHING_TO_KEEP)
            died = [
                code
                for code, said in codes[: len(victims)]
                if code not in (0, 2) or any(text in said for text in stopped)
            ]
            result.kills += len(died)
            result.ended += len(victims) - len(died)
            result.signals[sent.name] += len(died)
            result.left[Child(operation.check, home).expect()] += 1
            if number % operation.rounds == 0:
                Child(operation.finish, home).expect()
        except Broken as broken:
            lines = [line for line in str(broken).splitlines() if line.strip()] or [""]
            result.failures.append(f"attempt {number}, {sent.name}: {lines[-1][:400]}")
            operation.forget()
    result.seconds = time.monotonic() - started
    return result


@contextmanager
def hub_for(home: Path) -> Iterator[None]:
    """A local Hub in a process of its own, which the Hub's client of this process will use."""
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        # The Hub's client reads these when it is imported.
        os.environ.update(
            HF_ENDPOINT=server.stdout.readline().strip(),
            HF_HOME=str(home / "hf"),
            HF_TOKEN="hf_test_write",
            HF_HUB_DISABLE_XET="1",
            HF_HUB_DISABLE_TELEMETRY="1",
            HF_HUB_DISABLE_PROGRESS_BARS="1",
        )
        yield
    finally:
        server.kill()
        server.wait()


def main() -> int:
    """Run from the command line; exit code 1 if anything was lost or mixed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=44, help="of all operations together")
    parser.add_argument("--operation", action="append", choices=list(SHARES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    # A shell lets its background jobs ignore Ctrl-C, and so would their forks.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    home = Path(tempfile.mkdtemp(prefix="seqzoo-kill-"))
    try:
        with hub_for(home):
            return _run(options, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(options: argparse.Namespace, home: Path) -> int:
    from tests.reliability.operations import OPERATIONS

    names = options.operation or list(SHARES)
    whole = sum(SHARES[name] for name in names)
    results = []
    for name in names:
        folder = home / name.replace(" ", "-")
        folder.mkdir()
        kills = max(1, round(options.kills * SHARES[name] / whole))
        result = attack(OPERATIONS[name](folder), kills, f"{name}/{options.seed}", folder)
        results.append(result.to_json())
        print(json.dumps(results[-1]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    failed = sum(result["failed"] for result in results)
    print(f"{sum(result['kills'] for result in results)} kills, {failed} failures")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
