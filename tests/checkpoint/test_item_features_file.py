"""``item_features.safetensors``: written only where the model needs it, and never trusted."""

import json

import pytest
import torch

from seqzoo.checkpoint.features_file import parse_item_features, render_item_features
from seqzoo.checkpoint.manifest import FEATURES, read_manifest
from seqzoo.checkpoint.pull import pull_checkpoint
from seqzoo.data.item_table import table_of_labels
from seqzoo.errors import CheckpointError, IntegrityError
from seqzoo.evaluation.verify import verify_folder
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.storage.tensors import parse_tensors, tensors_bytes
from seqzoo.testing.items import example_features
from seqzoo.testing.run import small_model
from tests.samples import make_model, replace


@pytest.fixture
def folder(tmp_path):
    small_model("gru4rec", embedder="item-features").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_all_kinds_come_back():
    table = example_features(50)
    assert parse_item_features("file", bytes(render_item_features(table))) == table
    titles = table_of_labels(["Tïtle", None, ""])
    assert parse_item_features("file", bytes(render_item_features(titles))) == titles


def test_a_model_without_features_has_no_such_file(tmp_path):
    make_model().save_pretrained(tmp_path)
    assert not (tmp_path / FEATURES).exists()
    assert FEATURES not in read_manifest(tmp_path).files


def test_a_loaded_model_has_the_features_and_the_scores(folder):
    model = small_model("gru4rec", embedder="item-features")
    again = SequenceModel.from_pretrained(folder)
    assert again.item_features == model.item_features
    assert again.recommend(["item-1"], 5) == model.recommend(["item-1"], 5)
    assert verify_folder(folder).model is not None
    assert [check.name for check in verify_folder(folder).checks if check.ok].count(FEATURES) == 1


def test_the_file_is_pulled_too(folder, tmp_path):
    pull_checkpoint(str(folder), to=tmp_path / "copy")
    assert (tmp_path / "copy" / FEATURES).read_bytes() == (folder / FEATURES).read_bytes()


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_a_damaged_file_is_named(folder, damage):
    path = folder / FEATURES
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-9])
    else:
        content[-9] ^= 1
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=FEATURES) as found:
        SequenceModel.from_pretrained(folder)
    assert damage == "missing" or isinstance(found.value, IntegrityError)


def edited(folder, edit):
    """Change the tensors of the file, and its recorded sum with them."""
    tensors = parse_tensors(folder / FEATURES, (folder / FEATURES).read_bytes())
    edit(tensors)
    replace(folder, FEATURES, tensors_bytes(tensors))


def head_with(tensors, **changes):
    head = {**json.loads(tensors["columns"].numpy().tobytes()), **changes}
    tensors["columns"] = torch.frombuffer(bytearray(json.dumps(head).encode()), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.pop("0.ends"), "lacks the tensor 0.ends"),
        (lambda t: t.update(x=torch.zeros(1)), "which belongs to no column"),
        (lambda t: t["0.ends"].mul_(2), "ends that do not fit"),
        (lambda t: t["0.ends"].neg_(), "ends that do not fit"),
        (lambda t: t["0.bytes"].fill_(255), "not UTF-8"),
        (lambda t: t["2.counts"].neg_(), "negative numbers"),
        (lambda t: t.update({"3.values": t["3.values"].float()}), "has 3.values as torch.float32"),
        (lambda t: head_with(t, items=3), "has 0.ends as torch.int64"),
        (lambda t: head_with(t, columns=[{"name": "x", "kind": "code"}]), "one of text, category"),
        (lambda t: head_with(t, more=1), "more"),
        (lambda t: t.update(columns=torch.zeros(3, dtype=torch.uint8)), "not the JSON"),
    ],
)
def test_a_hostile_file_is_refused(folder, edit, said):
    edited(folder, edit)
    with pytest.raises(CheckpointError, match=said):
        SequenceModel.from_pretrained(folder)


def test_features_of_other_items_are_refused(folder):
    replace(folder, FEATURES, bytes(render_item_features(example_features(31))))
    with pytest.raises(CheckpointError, match=r"features of 31 items, vocabulary.json has 30"):
        SequenceModel.from_pretrained(folder)
    assert not verify_folder(folder).ok
