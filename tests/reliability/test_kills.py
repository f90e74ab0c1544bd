"""A small number of kills; ``python -m tests.reliability.kill --kills 500`` is the long run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.disk_full import OPERATIONS, has_namespaces
from tests.reliability.kill import SHARES

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed processes are forks")

ROOT = Path(__file__).parents[2]


def run(module: str, *words: str) -> list[dict[str, object]]:
    """Run one of the long runs with other numbers; the JSON lines of its answer."""
    command = [sys.executable, "-m", f"tests.reliability.{module}", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_a_kill_leaves_nothing_or_a_whole_checkpoint():
    results = run("kill", "--kills", "11")
    assert [result["operation"] for result in results] == list(SHARES)
    assert sum(result["kills"] for result in results) >= 11
    assert all(result["failed"] == 0 for result in results)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tmpfs", "file size"])
def test_a_full_disk_leaves_nothing_or_a_whole_checkpoint(kind):
    if kind == "tmpfs" and not has_namespaces():
        pytest.skip("this system lets us mount nothing")
    results = run("disk_full", "--steps", "3", "--kind", kind)
    assert [result["operation"] for result in results] == list(OPERATIONS)
    assert all(result["cases"] == 3 and result["failed"] == 0 for result in results)
    assert sum(result["refused"] for result in results) >= 3
