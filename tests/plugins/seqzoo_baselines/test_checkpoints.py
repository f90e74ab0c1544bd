"""Baselines as runs and checkpoints: trained in one pass, saved, checked, measured."""

import json

import pytest
import torch

import seqzoo
from seqzoo.cli.app import run
from seqzoo.errors import CheckpointError, TrainingError
from seqzoo.evaluation.verify import verify_folder
from seqzoo.storage.tensors import EncodedTensors
from seqzoo.training.loop import train
from tests.samples import replace

NAMES = ("popular", "recent-popular", "item-knn", "markov")
DATA = {
    "source": "synthetic",
    "min_count": 1,
    "options": {"users": 60, "items": 40, "mean_length": 12},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function from an architecture to its trained folder and the result, trained once."""
    made = {}

    def folder(name):
        if name not in made:
            out = tmp_path_factory.mktemp("runs") / name
            made[name] = (
                out,
                train({"architecture": name, "data": DATA, "train": {"epochs": 7}}, out),
            )
        return made[name]

    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_one_pass_and_a_checkpoint(name, trained):
    out, result = trained(name)
    assert (result.epochs, result.best_epoch) == (1, 1)
    assert set(result.metrics) == {"loo-full", "loo-full-unseen"}
    assert verify_folder(out).ok
    model = seqzoo.load(out)
    (record,) = json.loads((out / "training" / "progress.json").read_text())["epochs"]
    assert record["loss"] is None
    measured = seqzoo.evaluate(model, "synthetic")
    assert not measured.drift
    assert measured.metrics == result.metrics["loo-full"]
    assert len(model.recommend(list(model.vocabulary.items[:3]), 5)) == 5
    assert model.encode([list(model.vocabulary.items[:3])]).shape[1] == model.max_length


@pytest.mark.parametrize("name", NAMES)
def test_held_out_events_are_not_counted(name, trained, tmp_path):
    """Other last two items of every user change nothing of what is learned."""
    rows = [(u, f"i{(u * 7 + t * t) % 11}", t) for u in range(30) for t in range(8)]
    other = [(u, "i3" if t > 5 else item, t) for u, item, t in rows]
    weights = []
    for number, table in enumerate((rows, other)):
        data = [dict(zip(("user", "item", "timestamp"), row, strict=True)) for row in table]
        recipe = {"architecture": name, "data": {"min_count": 1}}
        out = tmp_path / str(number)
        train(recipe, out, data=data)
        model = seqzoo.load(out)
        order = [model.vocabulary.index(f"i{n}") for n in range(11)]
        hidden = model.last(seqzoo.interfaces.SequenceBatch.from_histories([[i] for i in order]))
        weights.append(model.head(hidden)[:, order])
    assert torch.equal(*weights)


def test_neighbours_outside_the_catalogue_are_refused(trained, tmp_path):
    out, _ = trained("markov")
    model = seqzoo.load(out)
    model.save_pretrained(tmp_path / "copy")
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors["head.neighbours"][3, 0] = 41
    content = EncodedTensors(tensors)
    content.write(tmp_path / "damaged.safetensors")
    replace(tmp_path / "copy", "model.safetensors", (tmp_path / "damaged.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"head\.neighbours holds the item indices 0 to 41"):
        seqzoo.load(tmp_path / "copy")


def test_data_without_timestamps(tmp_path):
    rows = [{"user": u, "item": f"i{(u + t) % 5}"} for u in range(9) for t in range(6)]
    with pytest.raises(TrainingError, match="recent-popular needs timestamps"):
        train(
            {"architecture": "recent-popular", "data": {"min_count": 1, "time_col": ""}},
            tmp_path / "a",
            data=rows,
        )
    train(
        {"architecture": "popular", "data": {"min_count": 1, "time_col": ""}},
        tmp_path / "b",
        data=rows,
    )


def test_the_command_line(trained, capsys):
    out, _ = trained("item-knn")
    assert run(["similar", str(out), seqzoo.load(out).vocabulary.items[0], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["similar"]
    assert run(["list", "*popular", "--json"]) == 0
    assert {entry["name"] for entry in json.loads(capsys.readouterr().out)} == {
        "popular",
        "recent-popular",
    }
