"""Trackers get every epoch, and a broken one breaks nothing else."""

import importlib.util

import pytest
from accelerate.tracking import GeneralTracker

from seqzoo.errors import TrainingError, UsageError
from seqzoo.training.loop import train


class Notebook(GeneralTracker):
    """Records what it is given; fails in the chosen method."""

    name = "notebook"
    requires_logging_directory = False

    def __init__(self, fails: str = "") -> None:
        super().__init__()
        self.fails = fails
        self.settings, self.logged, self.finished = {}, [], 0

    @property
    def tracker(self):
        return self.logged

    def _maybe_fail(self, method):
        if method == self.fails:
            raise ConnectionError("no route to host")

    def store_init_configuration(self, values):
        self._maybe_fail("start")
        self.settings = values

    def log(self, values, step=None, **_):
        self._maybe_fail("log")
        self.logged.append((step, values))

    def finish(self):
        self._maybe_fail("finish")
        self.finished += 1


def test_every_epoch_and_the_metrics_are_told(recipe, tmp_path, finished, same_files):
    expected, _ = finished("sasrec")
    notebook = Notebook()
    result = train(recipe("sasrec"), tmp_path / "run", trackers=[notebook])
    *epochs, (best, metrics) = notebook.logged
    assert [step for step, _ in epochs] == [1, 2, 3]
    assert all(entry.keys() == {"loss", "lr", "seconds", "valid/ndcg@10"} for _, entry in epochs)
    assert best == result.best_epoch
    assert metrics["loo-full/ndcg@10"] == result.metrics["loo-full"]["ndcg@10"]
    assert notebook.settings["train.lr"] == 5e-3
    assert notebook.settings["train.protocols"] == "['loo-full', 'loo-full-unseen']"
    assert notebook.finished == 1
    same_files(tmp_path / "run", expected.out)


def test_a_resumed_run_reports_only_new_epochs(recipe, tmp_path):
    train(recipe("sasrec"), tmp_path / "run")
    notebook = Notebook()
    train(recipe("sasrec"), tmp_path / "run", trackers=[notebook])
    assert not notebook.logged


@pytest.mark.parametrize("fails", ["start", "log", "finish"])
def test_a_failing_tracker_ends_the_run_which_resumes_without_it(
    recipe, tmp_path, finished, same_files, fails
):
    expected, _ = finished("sasrec")
    with pytest.raises(
        TrainingError, match=r"\(notebook\) cannot .*no route to host.*resumes the run"
    ):
        train(recipe("sasrec"), tmp_path / "run", trackers=[Notebook(fails)])
    train(recipe("sasrec"), tmp_path / "run")
    same_files(tmp_path / "run", expected.out)


def test_unknown_trackers_are_refused_before_anything(recipe, tmp_path):
    with pytest.raises(UsageError, match="unknown tracker 'wandbb'; did you mean 'wandb'"):
        train(recipe("sasrec"), tmp_path / "run", trackers=["wandbb"])
    with pytest.raises(UsageError, match=r"trackers is a list of names.*'wandb'"):
        train(recipe("sasrec"), tmp_path / "run", trackers="wandb")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "package"), [("wandb", "wandb"), ("comet_ml", "comet-ml")])
def test_a_tracker_that_is_not_installed_says_how_to_install_it(recipe, tmp_path, name, package):
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed here")
    with pytest.raises(UsageError, match=f"'{name}' is not installed; pip install {package}"):
        train(recipe("sasrec"), tmp_path / "run", trackers=[name])


def test_tensorboard_gets_its_files(recipe, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    train(recipe("sasrec"), tmp_path / "run", trackers=["tensorboard"])
    assert list((tmp_path / "run" / "training" / "seqzoo").glob("events.out.*"))
