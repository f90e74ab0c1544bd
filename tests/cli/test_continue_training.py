"""``seqzoo train CHECKPOINT`` and ``--item-features``."""

import json

import pytest
import yaml

from seqzoo.cli.train import recipe_values
from seqzoo.errors import ConfigError

NEWER = ("--data", "synthetic", "data.options={users: 50, items: 46, mean_length: 8, seed: 1}")


def test_the_json_of_a_run_that_continues(seqzoo, trained, tmp_path):
    out = tmp_path / "newer"
    answer = seqzoo("train", trained.folder, *NEWER, "--out", out, "--json", "train.epochs=1")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert {
        "out",
        "best_epoch",
        "epochs",
        "metrics",
        "seconds",
        "start",
        "new_items",
    } <= said.keys()
    info = json.loads(seqzoo("info", trained.folder, "--json").out)
    assert said["start"] == {"source": str(trained.folder), "sha256": info["sha256"]}
    assert said["new_items"] == json.loads(seqzoo("info", out, "--json").out)["items"] - 40
    assert f"continuing from {trained.folder}" in answer.err
    assert "40 items in their order and " in answer.err
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    assert recipe["start"] == said["start"]
    assert recipe["model"]["hidden_size"] == 16
    again = seqzoo("train", out / "recipe.yaml", "--out", tmp_path / "again", "--quiet")
    assert again.code == 0, again.err
    weights = "model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (out / weights).read_bytes()
    assert "fine-tuned from" in (out / "README.md").read_text()
    assert seqzoo("verify", out).code == 0
    assert seqzoo("eval", out, "--quiet").code == 0


def test_a_run_without_start_has_no_such_keys(trained):
    assert not {"start", "new_items"} & json.loads(trained.answer.out).keys()


def test_a_recipe_trains_on_all_events_for_as_many_epochs_as_its_run_was_best(
    seqzoo, trained, tmp_path
):
    best = json.loads(trained.answer.out)["best_epoch"]
    words = ("train", trained.folder / "recipe.yaml", "train.hold_out=none", "--out")
    answer = seqzoo(*words, tmp_path / "live", "--json")
    said = json.loads(answer.out)
    assert (said["epochs"], said["metrics"]) == (best, {})
    assert "no validation, no stored metrics" in answer.err
    assert seqzoo("verify", tmp_path / "live").code == 0
    shown = seqzoo(*words, tmp_path / "live")
    assert "without validation and without stored metrics" in shown.out


def test_all_events_need_a_number_of_epochs(refused, trained, tmp_path):
    said = refused(
        "train", "sasrec", "--data", "synthetic", "--out", tmp_path / "x", "train.hold_out=none"
    )
    assert "for example train.epochs=20" in said
    recipe = tmp_path / "recipe.yaml"
    recipe.write_bytes((trained.folder / "recipe.yaml").read_bytes())
    said = refused("train", recipe, "--out", tmp_path / "x", "train.hold_out=none")
    assert "holds no run with a best epoch" in said


def test_wrong_starts_are_one_line(refused, trained, tmp_path, monkeypatch):
    said = refused("train", trained.folder, *NEWER, "--out", tmp_path / "x", "model.hidden_size=8")
    assert "model.hidden_size is 8 and 16 in the weights" in said
    assert "there is no folder" in refused("train", tmp_path / "none", *NEWER)
    said = refused("train", trained.folder, *NEWER, "--out", trained.folder)
    assert "is the checkpoint that the run starts from" in said
    monkeypatch.chdir(trained.folder.parent)
    assert f"seqzoo train ./{trained.folder.name}" in refused("train", trained.folder.name, *NEWER)


def test_a_folder_with_the_name_of_an_architecture_does_not_hide_it(tmp_path, monkeypatch):
    (tmp_path / "gru4rec").mkdir()
    (tmp_path / "gru4rec" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert recipe_values("gru4rec", [], {}) == {"architecture": "gru4rec", "data": {}}
    (tmp_path / "gru4rec").rename(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"'other' is not a registered name.*train \./other"):
        recipe_values("other", [], {})


def test_item_features_from_a_file_and_from_titles(seqzoo, refused, shop_csv, tmp_path):
    shop = ("--data", shop_csv, "--user-col", "customer", "--item-col", "sku", "--time-col")
    shop = (*shop, "bought_at", "--label-col", "name", "--min-count", "3")
    small = ("model.hidden_size=8", "model.gru_size=8", "model.max_length=10", "train.epochs=1")
    words = ("train", "gru4rec", *shop, *small, "--quiet", "--out")
    features = tmp_path / "products.csv"
    rows = [f"SKU-{number:03},Lamp {number},{number}.5" for number in range(30)]
    features.write_text("\n".join(["sku,title,price", *rows]) + "\n")
    embedder = "model.embedder=item-features"
    for source, out in ((features, "file"), ("labels", "titles")):
        answer = seqzoo(*words, tmp_path / out, "--item-features", source, embedder)
        assert answer.code == 0, answer.err
        assert (tmp_path / out / "item_features.safetensors").is_file()
        assert seqzoo("verify", tmp_path / out).code == 0
    card = (tmp_path / "file" / "README.md").read_text()
    assert "it reads the features `title`, `price`" in card
    assert "--item-features FILE" in refused(*words, tmp_path / "x", embedder)
    said = refused(*words, tmp_path / "x", "--item-features", features)
    assert "'item' reads no item features" in said
    said = refused(*words, tmp_path / "x", "--item-features", tmp_path / "none.csv", embedder)
    assert "there is no file or folder" in said


def test_the_options_of_a_loss_that_is_replaced_are_left_out_with_a_line(seqzoo, refused, tmp_path):
    old, small = (
        tmp_path / "old",
        ("model.hidden_size=8", "train.epochs=1", "train.baselines=false"),
    )
    bce = ("model.loss=bce", "model.loss_options={negatives: 3}")
    assert seqzoo("train", "sasrec", *NEWER, *small, *bce, "--out", old, "--quiet").code == 0

    def options_of(folder):
        return yaml.safe_load((folder / "recipe.yaml").read_text())["model"]["loss_options"]

    assert options_of(old) == {"negatives": 3}
    left_out = (
        "the options of the loss 'bce' are left out, because the loss is now 'cross-entropy': "
        "{'negatives': 3}"
    )
    fewer = ("train.epochs=1", "train.baselines=false", "model.loss=cross-entropy")
    for number, source in enumerate(((old, *NEWER), (old / "recipe.yaml",))):
        answer = seqzoo("train", *source, *fewer, "--out", tmp_path / f"new-{number}")
        assert answer.code == 0, answer.err
        assert answer.err.count(left_out) == 1
        assert options_of(tmp_path / f"new-{number}") == {}
        again = seqzoo("train", tmp_path / f"new-{number}" / "recipe.yaml", "--out", tmp_path / "x",
                       "--overwrite")  # fmt: skip
        assert "left out" not in again.err
    # Options that are given replace the former ones, and must fit the loss.
    gbce = ("model.loss=gbce", "model.loss_options={calibration: 0.5}", "train.epochs=1")
    answer = seqzoo("train", old / "recipe.yaml", *gbce, "--out", tmp_path / "gbce")
    assert answer.code == 0, answer.err
    assert "left out" not in answer.err
    assert options_of(tmp_path / "gbce") == {"calibration": 0.5}
    for source in ((old, *NEWER), (old / "recipe.yaml",)):
        said = refused("train", *source, *fewer, bce[1], "--out", tmp_path / "none")
        assert "unknown setting 'model.loss_options.negatives'" in said
    # Without another loss the options stay, and single ones can be changed.
    kept = ("train", old, *NEWER, "train.epochs=1", "train.baselines=false", "--out")
    assert seqzoo(*kept, tmp_path / "kept", "--quiet").code == 0
    assert options_of(tmp_path / "kept") == {"negatives": 3}
