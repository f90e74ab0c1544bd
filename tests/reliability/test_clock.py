"""A clock that jumps, is frozen or is wrong changes nothing."""

import os
import time
from random import Random

import pytest

from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.loop import train
from tests.reliability.operation import KEPT, models
from tests.reliability.operations import Train, recipe

YEARS = 365 * 86400


class Clock:
    """A wall clock that is set again and again, years ahead and back."""

    def __init__(self, jump: float) -> None:
        self.chance, self.jump = Random(0), jump

    def time(self) -> float:
        return 978_300_000.0 + self.chance.uniform(-self.jump, self.jump)

    def time_ns(self) -> int:
        return int(self.time() * 1e9)


@pytest.mark.parametrize("jump", [0.0, 1.0, 30 * YEARS])
def test_training_under_a_clock_that_jumps(tmp_path, monkeypatch, jump):
    train(recipe(1), tmp_path / "reference")
    clock = Clock(jump)
    monkeypatch.setattr(time, "time", clock.time)
    monkeypatch.setattr(time, "time_ns", clock.time_ns)
    result = train(recipe(1), tmp_path / "run")
    for name in KEPT:
        assert (tmp_path / "run" / name).read_bytes() == (
            tmp_path / "reference" / name
        ).read_bytes()
    assert Train.progress(tmp_path / "run") == Train.progress(tmp_path / "reference")
    assert 0 <= result.seconds < 600


@pytest.mark.parametrize("when", [0, -5, 4 * 10**9, 10**10])
def test_times_of_files_mean_nothing(tmp_path, when):
    save_model(tmp_path / "x", models()[0], recipe={}, metrics={})
    for path in [*(tmp_path / "x").iterdir(), tmp_path / "x"]:
        os.utime(path, (when, when))
    assert len(SequenceModel.from_pretrained(tmp_path / "x").vocabulary) == 20
    save_model(tmp_path / "x", models()[1], recipe={}, metrics={})
    assert len(SequenceModel.from_pretrained(tmp_path / "x").vocabulary) == 23
