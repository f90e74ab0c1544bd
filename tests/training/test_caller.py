"""What ``train`` leaves as it was in the program that calls it."""

import logging
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from seqzoo.errors import TrainingError
from seqzoo.training.generators import kept_generators
from seqzoo.training.loop import train


def draws():
    return random.random(), float(np.random.random()), float(torch.rand(()))


def seeded():
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)


def test_training_leaves_the_callers_generators_unchanged(recipe, tmp_path):
    seeded()
    expected = [draws() for _ in range(2)]
    seeded()
    assert draws() == expected[0]
    train(recipe("sasrec", epochs=1), tmp_path / "run")
    assert draws() == expected[1]


def test_the_first_use_of_train_in_a_process_leaves_the_generators_alone():
    program = (
        "import random, numpy, torch, seqzoo\n"
        "def states():\n"
        "    arrays = numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()\n"
        "    return random.getstate(), arrays\n"
        "before = states()\n"
        "seqzoo.train\n"
        "assert 'rich' in __import__('sys').modules\n"
        "assert states() == before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_after_an_error_too(recipe, tmp_path):
    seeded()
    expected = draws()
    seeded()
    with pytest.raises(TrainingError):
        train(recipe("sasrec", lr=1e30), tmp_path / "run")
    assert draws() == expected


def test_what_the_caller_has_drawn_does_not_matter(finished, recipe, tmp_path, same_files):
    result, _ = finished("sasrec")
    random.random(), np.random.random(3), torch.rand(100)
    train(recipe("sasrec"), tmp_path / "run")
    same_files(tmp_path / "run", result.out)


def test_threads_and_the_log_level_are_restored(recipe, tmp_path):
    threads, level = torch.get_num_threads(), logging.getLogger("seqzoo").level
    train(recipe("sasrec", epochs=1, threads=1), tmp_path / "run")
    assert (torch.get_num_threads(), logging.getLogger("seqzoo").level) == (threads, level)


def test_the_generators_of_gpus_are_restored(monkeypatch):
    """Fakes of a machine with two of them."""
    states = [torch.tensor([3]), torch.tensor([4])]
    current = list(states)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: list(current))
    monkeypatch.setattr(
        torch.cuda, "set_rng_state_all", lambda given: current.__setitem__(slice(None), given)
    )

    def fail():
        with kept_generators():
            current[:] = [torch.tensor([0]), torch.tensor([0])]
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert all(now is before for now, before in zip(current, states, strict=True))
