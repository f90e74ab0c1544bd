import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from seqzoo.checkpoint.manifest import (
    HASHED,
    LARGEST,
    read_manifest,
    read_metrics,
    read_recipe,
    read_vocabulary,
    verify_file,
)
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError, UsageError
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.weights import distinct_state, put_weights
from seqzoo.storage.tensors import tensors_bytes
from tests.samples import METRICS, RECIPE, make_model, parameters_in


def test_what_is_saved_is_what_is_loaded(folder, model):
    loaded = SequenceModel.from_pretrained(folder)
    assert loaded.architecture == model.architecture
    assert loaded.config == model.config
    assert loaded.vocabulary == model.vocabulary
    assert not loaded.training
    assert list(loaded.state_dict()) == list(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    model.eval()
    history = ["item-1", "item-2", "item-3"]
    assert loaded.recommend(history, k=5) == model.recommend(history, k=5)


def test_a_chosen_head_comes_back(tmp_path):
    settings = {"hidden_size": 16, "head": "cosine-softmax", "temperature": 0.5}
    model = SequenceModel.build("sasrec", settings, Vocabulary(["a", "b", "c"])).eval()
    manifest = save_model(tmp_path / "checkpoint", model, recipe=RECIPE, metrics=METRICS)
    assert manifest.parts["head"] == "cosine-softmax"
    loaded = SequenceModel.from_pretrained(tmp_path / "checkpoint")
    assert type(loaded.head) is type(model.head)
    assert loaded.parts == model.parts
    assert loaded.recommend(["a"], k=2) == model.recommend(["a"], k=2)
    assert all(abs(found.score) <= 2.0 for found in loaded.recommend(["a"], k=2))


def test_everything_beside_the_weights_comes_back(folder, model):
    manifest = read_manifest(folder)
    assert manifest.architecture == model.architecture
    assert manifest.parts == model.parts
    assert read_recipe(manifest) == RECIPE
    assert read_metrics(manifest) == METRICS
    assert read_vocabulary(manifest) == model.vocabulary
    assert parameters_in(folder) == model.num_parameters
    assert manifest.size == sum((folder / name).stat().st_size for name in manifest.files)
    for name in HASHED:
        verify_file(manifest, name)


def test_the_same_model_gives_the_same_bytes(folder, model, tmp_path):
    again = save_model(tmp_path / "other" / "checkpoint", model, recipe=RECIPE, metrics=METRICS)
    assert again.sha256 == read_manifest(folder).sha256
    for name in (*again.files, "config.json", "README.md"):
        assert (again.folder / name).read_bytes() == (folder / name).read_bytes()


def test_loading_leaves_the_random_generator_alone(folder):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    SequenceModel.from_pretrained(folder)
    assert torch.equal(torch.rand(3), expected)


def test_nothing_but_the_checkpoint_is_left_and_other_files_stay(folder, model):
    (folder / "training.state").write_text("kept")
    save_model(folder, model, recipe={}, metrics={})
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "recipe.yaml",
        "training.state",
        "vocabulary.json",
    ]
    assert read_recipe(read_manifest(folder)) == {}


def test_overwrite_false_keeps_what_is_there(folder, refused):
    with refused("holds a checkpoint already", "overwrite=True"):
        save_model(folder, make_model(1), recipe={}, metrics={}, overwrite=False)
    assert read_recipe(read_manifest(folder)) == RECIPE


def test_somebody_elses_config_is_not_overwritten(tmp_path, model, refused):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with refused("config.json", "not a checkpoint of seqzoo", "choose another folder"):
        save_model(tmp_path, model, recipe={}, metrics={})


@pytest.mark.parametrize(
    "content",
    [
        b'{"model_type": "bert", "scale": Infinity}',
        b'{"model_type": "bert" // a comment\n}',
        b'{"model_type": "bert", "names": ["' + b"x" * LARGEST["config.json"] + b'"]}',
        b"[" * 1_000_000,
        b"[]",
    ],
    ids=["infinity", "comment", "large", "deep", "list"],
)
def test_no_config_of_another_program_is_overwritten(tmp_path, model, refused, content):
    (tmp_path / "config.json").write_bytes(content)
    with refused("config.json", "not a checkpoint of seqzoo", "choose another folder"):
        save_model(tmp_path, model, recipe={}, metrics={})
    assert (tmp_path / "config.json").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_large_config_is_not_overwritten_in_a_checkpoint_either(folder, model, refused):
    (folder / "config.json").write_bytes(b" " * (LARGEST["config.json"] + 1))
    with refused("config.json", "not a checkpoint of seqzoo"):
        save_model(folder, model, recipe={}, metrics={})


@pytest.mark.parametrize("content", [b"{", b"", b"\0" * 900, b'{"format_version": 1, "a": NaN}'])
def test_a_damaged_checkpoint_can_be_saved_over(folder, model, content):
    (folder / "config.json").write_bytes(content)
    save_model(folder, model, recipe={}, metrics={})
    SequenceModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("recipe", "metrics", "fragment"),
    [
        ({"path": Path("x")}, {}, "recipe"),
        ({"lr": float("nan")}, {}, "recipe"),
        ({}, {"loo-full": {"metrics": {"hit@10": float("inf")}}}, "the metrics cannot be saved"),
        ({}, {"loo-full": {"metrics": {"hit@10": "high"}}}, "metrics.json"),
        ({}, {"loo-full": 3}, "metrics.json"),
    ],
)
def test_only_plain_values_are_saved(tmp_path, model, recipe, metrics, fragment, refused):
    with refused(fragment):
        save_model(tmp_path / "new", model, recipe=recipe, metrics=metrics)
    assert not (tmp_path / "new").exists()


def test_weights_with_nan_do_not_replace_good_ones(folder, refused):
    broken = make_model()
    with torch.no_grad():
        next(broken.parameters())[0] = torch.nan
    with refused("NaN"):
        save_model(folder, broken, recipe={}, metrics={})
    SequenceModel.from_pretrained(folder)


def test_a_value_that_occurs_twice_is_written_twice(tmp_path, model):
    shared = {"a": [1, 2]}
    recipe = {"one": shared, "two": shared}
    manifest = save_model(tmp_path / "new", model, recipe=recipe, metrics={})
    assert read_recipe(manifest) == recipe


def test_tied_parameters_are_kept_once_and_stay_tied():
    def tied() -> nn.Module:
        module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        module[1].weight = module[0].weight
        return module

    torch.manual_seed(0)
    first, second = tied(), tied()
    state, _ = distinct_state(first)
    assert sorted(state) == ["0.bias", "0.weight", "1.bias"]
    put_weights(second, state, "model.safetensors")
    assert torch.equal(second[1].weight, first[0].weight)
    assert second[1].weight is second[0].weight


def test_the_order_of_a_state_does_not_show_in_its_bytes():
    one, two = torch.ones(2, 3), torch.arange(4)
    assert tensors_bytes({"a": one, "b": two}) == tensors_bytes({"b": two, "a": one.T.clone().T})


def test_a_wider_dtype_is_refused_and_a_narrower_one_taken():
    module = nn.Linear(2, 2)
    state = {name: tensor.half() for name, tensor in module.state_dict().items()}
    put_weights(module, state, "model.safetensors")
    wide = {name: tensor.double() for name, tensor in module.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"float64, expected torch\.float32"):
        put_weights(module, wide, "model.safetensors")


def test_an_unknown_device_is_a_usage_error(folder):
    with pytest.raises(UsageError, match="seqzoo doctor"):
        SequenceModel.from_pretrained(folder, device="nonsense")


def test_a_hub_cache_snapshot_of_links_loads(folder, tmp_path):
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b/snapshots/c"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in folder.iterdir():
        path.rename(blobs / f"blob-{path.name}")
        (snapshot / path.name).symlink_to(Path("../../blobs") / f"blob-{path.name}")
    SequenceModel.from_pretrained(snapshot)


def test_listing_reads_a_manifest_without_torch(folder):
    code = (
        "import sys; from seqzoo.checkpoint.manifest import *; import seqzoo.checkpoint.card;"
        "from seqzoo.storage.safetensors_header import count_parameters;"
        "m = read_manifest(sys.argv[1]); read_metrics(m); read_recipe(m);"
        "count_parameters(m.folder / 'model.safetensors', m.files['model.safetensors']['size']);"
        "assert not {'torch', 'numpy', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def test_config_is_readable_json(folder):
    document = json.loads((folder / "config.json").read_text("utf-8"))
    assert document["format_version"] == 1
    assert set(document["plugin"]) == {"name", "distribution", "version"}
