"""Splits by time and metrics of lists on the command line."""

import json
import shutil

import pytest
import yaml

from tests.cli.conftest import TINY, Trained, script

TIME = "train.protocols=[time-full,time-full-unseen]"


@pytest.fixture(scope="module")
def cut(tmp_path_factory) -> Trained:
    """SASRec trained before a moment, by the real command."""
    folder = tmp_path_factory.mktemp("cut") / "cut"
    words = ("train", "sasrec", "--data", "synthetic", "--out", folder, *TINY, TIME)
    return Trained(folder, script(*words, "--split", "share=0.2", "--split", "targets=each"))


def test_train_says_what_each_part_has(cut):
    assert cut.answer.code == 0, cut.answer.err
    lines = [line for line in cut.answer.err.splitlines() if not line.startswith("chosen from")]
    _, _, train, valid, test, *_ = lines
    assert train.startswith("synthetic, split 'time': training on ")
    for line, part in ((valid, "validation: "), (test, "test: ")):
        assert line.startswith(part)
        assert " targets of " in line
        assert " UTC on" in line
    assert f"seqzoo eval {cut.folder} --protocol time-full" in cut.answer.out
    recipe = yaml.safe_load((cut.folder / "recipe.yaml").read_text())
    assert recipe["data"]["split"] == {"share": 0.2, "targets": "each"}


def test_the_recipe_trains_the_same_again(cut, seqzoo, tmp_path):
    out = tmp_path / "again"
    answer = seqzoo("train", cut.folder / "recipe.yaml", "--out", out, "--quiet")
    assert (answer.code, answer.err) == (0, "")
    for name in ("model.safetensors", "metrics.json", "recipe.yaml", "vocabulary.json"):
        assert (out / name).read_bytes() == (cut.folder / name).read_bytes(), name


def test_eval_measures_the_split_of_the_recipe(cut, seqzoo):
    answer = seqzoo("eval", cut.folder, "--protocol", "time-full")
    assert (answer.code, answer.err) == (0, "")
    assert "no drift" in answer.out
    (line,) = (line for line in answer.out.splitlines() if line.startswith("split time: "))
    said = json.loads(seqzoo("eval", cut.folder, "--protocol", "time-full", "--json").out)
    split = said["data"]["split"]
    assert line.startswith(f"split time: {split['targets']:,} targets of {split['users']:,} users")
    assert said["targets"] == split["targets"] > said["users"] == split["users"]
    assert split["settings"] == {"share": 0.2, "at": None, "targets": "each"}
    assert f"{split['targets']:,} held-out items of {split['users']:,} users" in answer.out


def test_other_settings_are_not_drift(cut, seqzoo):
    answer = seqzoo("eval", cut.folder, "--protocol", "time-full", "--split", "targets=last")
    assert answer.code == 0
    assert "warning: the settings of the split differ from those of the stored" in answer.err
    assert "measured with other settings of the split" in answer.out
    verified = seqzoo("verify", cut.folder, "--eval")
    assert (verified.code, verified.err) == (0, "")
    assert "time-full-unseen" in verified.out


def test_a_model_of_another_split_is_warned_of(trained, cut, seqzoo):
    answer = seqzoo("eval", trained.folder, "--protocol", "time-full")
    assert answer.code == 0
    assert "was trained under the split 'leave-one-out', and time-full tests" in answer.err
    answer = seqzoo("compare", trained.folder, cut.folder, "--split", "share=0.2")
    assert answer.code == 2
    assert "the split 'leave-one-out' has no settings" in answer.err


def test_metrics_of_lists(trained, cut, seqzoo):
    answer = seqzoo("eval", cut.folder, "--protocol", "time-full", "--lists")
    assert answer.code == 0
    for name in ("coverage@10", "novelty@10", "ARP@10", "Gini@10"):
        assert any(line.startswith(f"{name} ") for line in answer.out.splitlines()), name
    assert "diversity is left out: neither the data nor the checkpoint have" in answer.out
    found = json.loads(seqzoo("eval", trained.folder, "--lists", "--json").out)
    assert set(found["stored"]) < set(found["metrics"])
    assert found["drift"] == {}
    assert found["lists"]["skipped"].keys() == {"diversity"}
    words = ("compare", trained.folder, cut.folder, "--protocol", "time-full", "--lists")
    both = seqzoo(*words, "--split", "share=0.2", "--split", "targets=each")
    assert both.code == 0, both.err
    head = both.out.splitlines()[0].split()
    assert head[-4:] == ["coverage@10", "novelty@10", "ARP@10", "Gini@10"]
    assert len(both.out.splitlines()[1].split()) > 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "share"], "--split is 'share'; expected KEY=VALUE"),
        (["--split", "a.b=1"], "--split is 'a.b=1'; expected KEY=VALUE"),
        (["--split", "shar=0.1"], "did you mean 'data.split.share'"),
        (["--split", "share=2"], "expected more than 0 and less than 1"),
        (["--split", "targets=frist"], "did you mean 'first'"),
        (["--split", "at=2014-31-01"], "expected unix seconds (978300760) or an ISO date"),
    ],
)
def test_mistakes_are_one_line(cut, refused, words, message):
    assert message in refused("eval", cut.folder, "--protocol", "time-full", *words)


def test_what_train_refuses(refused, tmp_path):
    words = ("train", "sasrec", "--data", "synthetic", "--out", tmp_path / "run", *TINY)
    assert "no settings" in refused(*words, "data.split.share=0.1")
    mixed = script(*words, "train.protocols=[time-full,loo-full]")
    assert mixed.code == 2
    assert mixed.err.splitlines()[-1].startswith("error: the protocol 'loo-full' keeps ")
    assert not (tmp_path / "run" / "config.json").exists()
    assert "data.split belongs to" in refused(
        "data", "describe", "synthetic", "data.split.share=0.1"
    )


def test_files_without_times(refused, seqzoo, shop_csv, tmp_path):
    words = ("train", "sasrec", "--data", shop_csv, "--user-col", "customer", "--item-col", "sku",
        "--out", tmp_path / "run", "--time-col", "", "--quiet", TIME)  # fmt: skip
    assert "shop: a split by time needs timestamps" in refused(*words)


def test_a_checkpoint_of_before_the_split_was_stored_is_as_it_was(trained, tmp_path, seqzoo):
    copy = shutil.copytree(trained.folder, tmp_path / "copy")
    stored = json.loads((copy / "metrics.json").read_text())
    assert all("split" not in entry for entry in stored.values())
    assert "split" not in yaml.safe_load((copy / "recipe.yaml").read_text())["data"]
    assert "no drift" in seqzoo("eval", copy).out
