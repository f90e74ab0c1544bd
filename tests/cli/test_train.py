"""``seqzoo train``."""

import json

import yaml

from seqzoo.cli.train import _merged


def test_the_json_and_the_folder_of_a_run(trained):
    assert trained.answer.code == 0, trained.answer.err
    said = json.loads(trained.answer.out)
    assert {"out", "best_epoch", "epochs", "metrics", "seconds"} <= said.keys()
    assert said["out"] == str(trained.folder)
    assert (said["epochs"], said["interrupted"]) == (2, False)
    assert set(said["metrics"]) == {"loo-full", "loo-full-unseen"}
    as_read, filtered, *parts = trained.answer.err.splitlines()
    assert parts[0] == "chosen from the data: train.lr=0.002 (the default of 'sasrec' for training)"
    parts = [line for line in parts if not line.startswith("chosen from the data: ")]
    train, valid, test, *lines = parts
    assert as_read.startswith("synthetic, as read: ")
    assert "interactions of 120 users with 40 items, " in as_read
    assert filtered.startswith("synthetic, 5-core: ")
    assert [stage["stage"] for stage in said["stages"]] == ["as read", "5-core"]
    assert f"{said['stages'][1]['rows']:,} interactions" in filtered
    left = said["stages"][1]["rows"]
    assert train == (
        f"synthetic, split 'leave-one-out': training on {left - 240:,} of {left:,} interactions of "
        "120 users"
    )
    assert (valid, test) == (
        "validation: 120 targets of 120 users",
        "test: 120 targets of 120 users",
    )
    assert lines[0].startswith("training sasrec (")
    assert lines[1].startswith("up to 2 epochs; 1 process on cpu")
    assert [line.split()[:2] for line in lines[2:4]] == [["epoch", "1"], ["epoch", "2"]]
    (warning,) = lines[4:]
    assert warning.startswith("warning: sasrec does not beat ")
    assert (trained.folder / "model.safetensors").is_file()


def test_a_run_ends_with_metrics_and_what_to_do_next(shop):
    out = shop.answer.out
    assert "trained: 2 epochs" in out
    assert "loo-full-unseen" in out
    assert f"seqzoo recommend {shop.folder} --history SKU-" in out
    assert f"seqzoo eval {shop.folder}" in out
    assert "\x1b" not in out + shop.answer.err


def test_the_recipe_has_what_was_given(shop, shop_csv):
    recipe = yaml.safe_load((shop.folder / "recipe.yaml").read_text())
    assert recipe["architecture"] == "mamba4rec"
    assert recipe["data"]["source"] == str(shop_csv)
    assert recipe["data"]["user_col"] == "customer"
    assert recipe["data"]["min_count"] == 3
    assert recipe["model"]["hidden_size"] == 16
    assert recipe["data"]["fingerprint"].startswith("sha256:")


def test_a_recipe_file_trains_the_same_model_again(seqzoo, trained, tmp_path):
    out = tmp_path / "again"
    recipe = trained.folder / "recipe.yaml"
    answer = seqzoo("train", recipe, "--out", out, "--quiet", "--json")
    assert (answer.code, answer.err) == (0, "")
    first, again = json.loads(trained.answer.out), json.loads(answer.out)
    assert again["metrics"] == first["metrics"]
    weights = "model.safetensors"
    assert (out / weights).read_bytes() == (trained.folder / weights).read_bytes()


def test_overrides_and_options_come_before_the_file(seqzoo, trained, tmp_path):
    out = tmp_path / "other"
    recipe = trained.folder / "recipe.yaml"
    settings = ("--min-count", 4, "train.epochs=1", "train.lr=1")
    answer = seqzoo("train", recipe, "--out", out, *settings, "--json")
    assert json.loads(answer.out)["epochs"] == 1
    found = yaml.safe_load((out / "recipe.yaml").read_text())
    assert (found["data"]["min_count"], found["train"]["lr"]) == (4, 1.0)
    assert found["model"]["hidden_size"] == 16


def test_a_finished_run_is_read_back(seqzoo, tiny):
    recipe = tiny / "recipe.yaml"
    values = yaml.safe_load(recipe.read_text())
    copy = tiny.parent / "copy.yaml"
    copy.write_text(yaml.safe_dump(values))
    answer = seqzoo("train", copy, "--out", tiny, "--json")
    assert answer.code == 0
    assert "is finished" in answer.err
    assert json.loads(answer.out)["epochs"] == 2


def test_another_recipe_needs_overwrite(seqzoo, refused, tiny):
    words = ("train", "sasrec", "--data", "synthetic", "--out", tiny, "model.hidden_size=8",
        "train.epochs=1", "-q")  # fmt: skip
    assert "--overwrite" in refused(*words)
    assert seqzoo(*words, "--overwrite", "--json").code == 0


def test_without_out_the_run_goes_to_runs(seqzoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = seqzoo("train", "sasrec", "--data", "synthetic", "data.options.users=50",
        "model.hidden_size=8", "train.epochs=1", "-q")  # fmt: skip
    assert answer.code == 0, answer.err
    assert (tmp_path / "runs" / "sasrec" / "config.json").is_file()
    assert "seqzoo eval runs/sasrec" in answer.out


def test_merging_goes_section_by_section():
    file = {"model": {"a": 1, "b": 2}, "data": {"options": {"users": 5}}}
    changes = {"model": {"b": 3}, "data": {"options": {"items": 6}}, "train": {"lr": 1}}
    assert _merged(file, changes) == {
        "model": {"a": 1, "b": 3},
        "data": {"options": {"users": 5, "items": 6}},
        "train": {"lr": 1},
    }
    assert _merged({"model": None}, {"model": {"a": 1}}) == {"model": {"a": 1}}


def test_a_folder_of_a_run_is_told_from_its_recipe(trained, refused):
    said = refused("train", trained.folder)
    assert f"seqzoo train {trained.folder}/recipe.yaml" in said


def test_a_link_to_nothing_as_out_is_called_one(refused, tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "moved")
    said = refused("train", "sasrec", "--data", "synthetic", "--out", tmp_path / "out")
    assert "is a link to" in said
    assert "give a folder as --out" in said
