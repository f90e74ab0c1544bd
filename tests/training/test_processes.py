"""Several processes train the model that one process trains, in the same steps, and report once."""

import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from safetensors.torch import load_file

from seqzoo.data.batches import Windows
from seqzoo.data.sequences import Sequences
from seqzoo.objectives.rows import NextItem
from seqzoo.parts.config import NextItemConfig
from seqzoo.training.processes import own_share

SETTINGS = [
    "sasrec",
    "--data",
    "synthetic",
    "--min-count",
    "1",
    "data.options.users=80",
    "data.options.items=40",
    "data.options.mean_length=20",
    "model.hidden_size=16",
    "model.max_length=20",
    "model.num_layers=1",
    # The processes draw dropout of their own.
    "model.dropout=0",
    "model.attention_dropout=0",
    "train.epochs=3",
    "train.lr=5e-3",
    # Many batches are a single window, of which the second process has no share.
    "train.batch_size=1",
    "train.threads=1",
]


def command_line(processes, *words):
    """Run ``seqzoo train`` in one process, or in several under torchrun."""
    command = [sys.executable, "-m"]
    if processes > 1:
        command += [
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            str(processes),
            "-m",
        ]
    return subprocess.run(
        [*command, "seqzoo", "train", *SETTINGS, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    done = {number: command_line(number, "--out", folder / str(number)) for number in (1, 2)}
    for number, run in done.items():
        assert run.returncode == 0, f"{number}: {run.stdout}{run.stderr}"
    return folder, done


def test_two_processes_take_the_same_steps_to_the_same_model(runs):
    folder, _ = runs
    one, two = (load_file(folder / number / "training/state.safetensors") for number in "12")
    steps = {float(value) for name, value in one.items() if name.endswith(".step")}
    assert steps == {float(value) for name, value in two.items() if name.endswith(".step")}
    assert len(steps) == 1
    assert steps.pop() > 10
    for name, value in one.items():
        # A bias of the keys changes no attention: its gradient is rounding error, scaled by Adam.
        if name.endswith("key.bias"):
            continue
        assert value.allclose(two[name], rtol=1e-3, atol=1e-4), name
    stored = [json.loads((folder / number / "metrics.json").read_text()) for number in "12"]
    for protocol, entry in stored[0].items():
        assert stored[1][protocol]["metrics"] == pytest.approx(entry["metrics"], abs=2e-3)
    records = [
        json.loads((folder / number / "training/progress.json").read_text())["epochs"]
        for number in "12"
    ]
    for alone, shared in zip(*records, strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-4)


def test_everything_is_printed_once_with_the_number_of_processes(runs):
    _, done = runs
    for number, words in ((1, "1 process on cpu"), (2, "2 processes on cpu")):
        assert done[number].stdout.count("trained: 3 epochs") == 1
        lines = done[number].stderr.splitlines()
        assert sum(line.startswith("training sasrec") for line in lines) == 1
        assert sum(words in line for line in lines) == 1
        assert sum(line.startswith("epoch") for line in lines) == 3


@pytest.mark.slow
def test_a_finished_run_is_read_back_once(runs):
    folder, _ = runs
    done = command_line(2, "--out", folder / "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 3
    assert done.stderr.count("is finished") == 1


@pytest.mark.slow
def test_the_error_of_a_folder_is_printed_once(tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    done = command_line(2, "--out", tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("is not empty and holds no run") == 1


def test_shares_of_a_batch_have_all_of_its_rows_and_weights():
    sequences = Sequences(
        np.arange(1, 41, dtype=np.int32), None, np.array([0, 12, 40], dtype=np.int64)
    )
    windows = Windows(np.array([0, 12, 20]), np.array([11, 9, 15]), np.array([0, 0, 4]))
    backbone = types.SimpleNamespace(causal=True)
    inputs = NextItem(NextItemConfig(), backbone).batch(sequences, windows, None)
    shares = [
        own_share(inputs, types.SimpleNamespace(process_index=index, num_processes=4))
        for index in range(4)
    ]
    assert [share.weight for share in shares] == [11 * 4 / 31, 9 * 4 / 31, 11 * 4 / 31, 0.0]
    for row, share in enumerate(shares[:3]):
        assert share.main.targets.tolist() == inputs.main.targets[[row]].tolist()
        assert share.main.histories.lengths.tolist() == [windows.lengths[row]]
    # A process without a row computes something, for nothing.
    assert shares[3].count == inputs.count == 31
