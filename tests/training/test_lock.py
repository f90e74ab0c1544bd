"""Two trainings never share a folder: the second start is refused while the first one runs."""

import json
import subprocess
import sys

import pytest

from seqzoo.errors import TrainingError
from seqzoo.storage import atomic
from seqzoo.training.folder import RunFolder
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter
from seqzoo.training.recipe import Recipe

pytestmark = pytest.mark.skipif(atomic.fcntl is None, reason="this system has no flock")

WAITING = """
import json, sys
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter

class Waiting(Reporter):
    def start(self, epoch, epochs, batches):
        if epoch == int(sys.argv[3]):
            print("now", flush=True)
            assert sys.stdin.readline() == "go\\n"

train(json.loads(sys.argv[1]), sys.argv[2], reporter=Waiting())
"""


@pytest.fixture
def waiting(recipe, tmp_path):
    """A process that trains in ``tmp_path / "run"`` and waits in an epoch for its stdin."""
    processes = []

    def waiting(epoch):
        process = subprocess.Popen(
            [sys.executable, "-c", WAITING, json.dumps(recipe("sasrec")), str(tmp_path / "run"),
             str(epoch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout.readline() == "now\n", process.stderr.read()
        return process

    yield waiting
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("epoch", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_second_training_is_refused_while_the_first_runs(
    waiting, finished, tmp_path, same_files, epoch
):
    """With another recipe, with the same one, and with --overwrite: one clear line, exit 2."""
    first, out = waiting(epoch), tmp_path / "run"
    base = [sys.executable, "-m", "seqzoo", "train", "sasrec", "--data", "synthetic", "--out", out]
    for words in (["train.epochs=1", "--overwrite"], ["train.epochs=1"]):
        done = subprocess.run([*base, *words], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr == (
            f"error: {out} is in use by another training; wait until it ends, or give another "
            "folder as --out\n"
        )
    _, complained = first.communicate("go\n")
    assert first.returncode == 0, complained
    same_files(out, finished("sasrec")[0].out)


def test_the_lock_ends_with_a_killed_process(waiting, finished, recipe, tmp_path, same_files):
    first, out = waiting(2), tmp_path / "run"
    with pytest.raises(TrainingError, match="in use by another training"):
        train(recipe("sasrec"), out)
    first.kill()
    first.communicate()
    train(recipe("sasrec"), out)
    same_files(out, finished("sasrec")[0].out)


def test_two_trainings_of_one_program(recipe, tmp_path):
    class Second(Reporter):
        def start(self, epoch, epochs, batches):
            with pytest.raises(TrainingError, match="in use by another training"):
                train(recipe("sasrec", seed=1), tmp_path, overwrite=True)
            refused.append(epoch)

    refused = []
    train(recipe("sasrec", epochs=1), tmp_path, reporter=Second())
    assert refused == [1]
    train(recipe("sasrec", epochs=1), tmp_path)


def test_who_claims_a_free_folder_last_is_refused(recipe, tmp_path):
    """Both find the folder free, and prepare their data; only one begins."""
    made = Recipe.make(recipe("sasrec"))
    with RunFolder(tmp_path / "run") as one, RunFolder(tmp_path / "run") as other:
        first, second = (folder.acquire(made, False, lock=True) for folder in (one, other))
        one.begin(first)
        with pytest.raises(TrainingError, match="in use by another training"):
            other.begin(second)
    with RunFolder(tmp_path / "late") as one, RunFolder(tmp_path / "late") as other:
        second = other.acquire(made, False, lock=True)
        with one:
            one.begin(one.acquire(made, False, lock=True))
        with pytest.raises(TrainingError, match="in use by another training"):
            other.begin(second)
