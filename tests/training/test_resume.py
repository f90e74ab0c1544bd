"""A run that is stopped at any moment and started again ends like an uninterrupted one."""

import json
import os
import signal
import subprocess
import sys

import pytest

from seqzoo.errors import TrainingError
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training import folder, run
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter

ARCHITECTURES = pytest.mark.parametrize("architecture", ["mamba4rec", "sasrec"])
EPOCHS = 6

KILLED_OFTEN = """
import json, os, random, signal, sys, time
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter

class Started(Reporter):
    def start(self, epoch, epochs, batches):
        os.write(begun, b"x")

recipe, out = json.loads(sys.argv[1]), sys.argv[2]
for attempt in range(3):
    wait, begun = os.pipe()
    child = os.fork()
    if not child:
        train(recipe, out, reporter=Started())
        os._exit(0)
    os.close(begun)
    os.read(wait, 1)
    delay = random.uniform(0.0, 0.3)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(os.path.join(out, "training", "progress.json")) as file:
        print(f"killed after {delay:.2f} s with {json.load(file)['epoch']} epochs done")
train(recipe, out)
"""

INTERRUPTED = """
import json, sys, time
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter

class Slow(Reporter):
    def start(self, epoch, epochs, batches):
        if epoch == int(sys.argv[3]):
            print("now", flush=True)
            time.sleep(600)

result = train(json.loads(sys.argv[1]), sys.argv[2], reporter=Slow())
print(json.dumps([result.interrupted, result.best_epoch, result.epochs]), flush=True)
"""


def progress_of(out):
    progress = json.loads((out / "training" / "progress.json").read_text())
    for record in progress["epochs"]:
        del record["seconds"]
    del progress["seconds"]
    return progress


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed processes are forks")
@ARCHITECTURES
def test_killed_at_random_moments(finished, recipe, tmp_path, same_files, architecture):
    """Three kills, each within 0.3 s of training; the whole run takes about half a second."""
    expected, _ = finished(architecture, epochs=EPOCHS)
    settings = json.dumps(recipe(architecture, epochs=EPOCHS))
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", KILLED_OFTEN, settings, str(out)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    same_files(out, expected.out)
    assert progress_of(out) == progress_of(expected.out)
    left = {path.name for path in out.rglob("*")}
    assert not any(name.startswith((".incoming", ".commit")) for name in left), done.stdout


class Killed(BaseException):
    """Ends a run as nothing in it expects."""


@pytest.mark.parametrize(
    ("function", "call"),
    [("write_progress", 1), ("write_progress", 2)]
    + [("write_state", call) for call in (1, 2, 3)]
    + [("save_model", call) for call in (1, 2, 4)],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_around_every_write(
    finished, recipe, tmp_path, same_files, monkeypatch, function, when, call
):
    """Call 1 falls into an empty folder; the last calls of two of them are the run's last acts."""
    expected, _ = finished("sasrec")
    bests = sum(_bests(expected.out))
    wanted = min(call, bests + 1) if function == "save_model" else call
    real, calls = getattr(run, function), []

    def cut(*arguments, **options):
        calls.append(function)
        if len(calls) == wanted and when == "before":
            raise Killed
        result = real(*arguments, **options)
        if len(calls) == wanted:
            raise Killed
        return result

    settings, out = recipe("sasrec"), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(run, function, cut)
        # The first progress is written where the folder is acquired.
        if hasattr(folder, function):
            patch.setattr(folder, function, cut)
        with pytest.raises(Killed):
            train(settings, out)
    train(settings, out)
    same_files(out, expected.out)
    assert progress_of(out) == progress_of(expected.out)


def _bests(out):
    best = -1.0
    for record in progress_of(out)["epochs"]:
        yield record["value"] > best
        best = max(best, record["value"])


@ARCHITECTURES
def test_ctrl_c_keeps_the_best_and_says_how_to_resume(
    finished, recipe, tmp_path, same_files, architecture
):
    expected, _ = finished(architecture, epochs=EPOCHS)
    settings, out = recipe(architecture, epochs=EPOCHS), tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, json.dumps(settings), str(out), "4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate()
    assert process.returncode == 0, complained
    best = progress_of(out)["best_epoch"]
    assert json.loads(said) == [True, best, 3]
    assert 1 <= best <= 3
    assert f"holds the best epoch ({best}); the same command resumes the run" in complained
    assert "Traceback" not in complained
    model = SequenceModel.from_pretrained(out)
    assert model.metrics == {}
    assert model.recommend(model.vocabulary.items[:3], k=5)
    result = train(settings, out)
    assert not result.interrupted
    same_files(out, expected.out)


class CtrlC(Reporter):
    """Presses Ctrl-C at an epoch's first batch."""

    def __init__(self, epoch):
        self.epoch_to_stop, self.now = epoch, 0

    def start(self, epoch, epochs, batches):
        self.now = epoch

    def batch(self, loss, examples_per_second):
        if self.now == self.epoch_to_stop:
            raise KeyboardInterrupt


def test_ctrl_c_in_the_first_epoch(finished, recipe, tmp_path, same_files):
    out = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"nothing to keep; the same command starts again"):
        train(recipe("sasrec"), out, reporter=CtrlC(1))
    assert not (out / "config.json").exists()
    train(recipe("sasrec"), out)
    same_files(out, finished("sasrec")[0].out)


def test_ctrl_c_again_and_again(finished, recipe, tmp_path, same_files):
    out = tmp_path / "run"
    for epoch in (2, 2, 3):
        result = train(recipe("sasrec"), out, reporter=CtrlC(epoch))
        assert result.interrupted
        assert (result.epochs, result.metrics) == (epoch - 1, {})
    train(recipe("sasrec"), out)
    same_files(out, finished("sasrec")[0].out)


@pytest.mark.parametrize("function", ["save_model", "write_state"])
@pytest.mark.parametrize("call", [1, 2])
def test_ctrl_c_while_an_epoch_is_written(
    finished, recipe, tmp_path, same_files, monkeypatch, heard, function, call
):
    """What is reported afterwards is what is on the disk: the epoch before."""
    expected, _ = finished("sasrec", epochs=EPOCHS)
    assert sum(_bests(expected.out)) >= 2
    settings = recipe("sasrec", epochs=EPOCHS)
    real, calls = getattr(run, function), []

    def cut(*arguments, **options):
        calls.append(function)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(run, function, cut)
        if call == 1:
            with pytest.raises(TrainingError, match="the same command starts again"):
                train(settings, out)
        else:
            result = train(settings, out, reporter=heard)
            assert result.interrupted
            assert result.epochs == len(heard.started) - 1 >= result.best_epoch >= 1
            SequenceModel.from_pretrained(out)
    train(settings, out)
    same_files(out, expected.out)


def test_ctrl_c_while_the_best_is_measured(finished, recipe, tmp_path, same_files, monkeypatch):
    out = tmp_path / "run"

    def cut(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.Run, "_measure", cut)
        result = train(recipe("sasrec"), out)
    assert result.interrupted
    assert (result.epochs, result.metrics) == (3, {})
    SequenceModel.from_pretrained(out)
    assert train(recipe("sasrec"), out).metrics
    same_files(out, finished("sasrec")[0].out)


def test_a_run_resumes_where_it_stopped(recipe, tmp_path, heard):
    train(recipe("sasrec"), tmp_path, reporter=CtrlC(3))
    train(recipe("sasrec"), tmp_path, reporter=heard)
    assert [epoch for epoch, _, _ in heard.started] == [3]
    assert [record["epoch"] for record in progress_of(tmp_path)["epochs"]] == [1, 2, 3]
