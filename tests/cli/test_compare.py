"""``seqzoo compare``."""

import errno
import json
import shutil

import pytest

from seqzoo.checkpoint.manifest import WEIGHTS
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel


@pytest.fixture(scope="module")
def other(trained, tmp_path_factory):
    """The small checkpoint with all of its weights turned around."""
    folder = tmp_path_factory.mktemp("other") / "other"
    shutil.copytree(trained.folder, folder)
    model = SequenceModel.from_pretrained(folder)
    for parameter in model.parameters():
        parameter.data.mul_(-1)
    save_model(folder, model, recipe=model.recipe, metrics={})
    return folder


@pytest.mark.slow
def test_the_real_command_prints_a_table_and_draws(trained, other, process, tmp_path):
    file = tmp_path / "quality.svg"
    answer = process("compare", other, trained.folder, "--no-baselines", "--plot", file)
    assert (answer.code, answer.err) == (0, "")
    head, first, second, _, *rest = answer.out.splitlines()
    assert head.split() == [
        "model", "HR@10", "NDCG@10", "95", "%", "to", "best", "p", "users/s", "parameters",
        "weights", "state",
    ]  # fmt: skip
    # The best comes first, in any order of the arguments.
    assert first.split()[0] == str(trained.folder)
    name, hit, value, low, high, difference, p_value, *sizes = second.split()
    assert name == str(other)
    assert float(low.strip("[,")) <= float(value) <= float(high.strip("]"))
    assert difference.startswith("-")
    assert 0 < float(p_value) <= 1
    assert float(hit) <= 1
    assert sizes[-1] == "KiB"
    assert rest[0].startswith(
        "loo-full on synthetic: 120 users, 40 items; p: 10,000 permutations, adjusted for 1 pair"
    )
    assert rest[0].endswith("users/s: this machine in this run")
    assert rest[1].startswith("data sha256:")
    assert rest[2:] == [f"plot: {file}"]
    assert trained.folder.name in file.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["quality.svg"]


def test_it_fits_80_columns(trained, other, seqzoo, tmp_path, monkeypatch):
    """Columns that other verbs show are dropped first; requested ones stay."""
    for folder, name in ((trained.folder, "a"), (other, "b-quite-a-long-name-1m")):
        shutil.copytree(folder, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    answer = seqzoo("compare", "./a", "./b-quite-a-long-name-1m", "--no-baselines")
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 80
    for title in ("NDCG@10", "95 %", "to best", " p ", "users/s"):
        assert title in lines[0]
    assert "parameters" not in lines[0]
    assert lines[1].startswith("./a ")
    assert lines[2].startswith("./b-quite-a-long-name-1m ")


def test_the_json_has_the_keys_of_the_contract(trained, other, seqzoo, tmp_path):
    file = tmp_path / "quality.png"
    words = ("compare", other, trained.folder, "--no-baselines", "--metric", "hit@5", "--seed", 3)
    answer = seqzoo(*words, "--plot", file, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert file.read_bytes().startswith(b"\x89PNG")
    said = json.loads(answer.out)
    assert said.keys() == {
        "protocol", "metric", "data", "users", "left_out", "models", "pairs", "resamples",
        "permutations", "seed", "seconds",
    }  # fmt: skip
    assert (said["metric"], said["seed"], said["users"]) == ("hit@5", 3, 120)
    assert said["data"].keys() == {"name", "fingerprint", "split"}
    # The order is the one in which they were given.
    assert [model["name"] for model in said["models"]] == [str(other), str(trained.folder)]
    for model in said["models"]:
        assert model.keys() == {
            "name", "architecture", "users", "targets", "items", "metrics", "known_targets",
            "interval", "stored", "drift", "parameters", "bytes", "state_bytes", "users_per_second",
            "seconds", "environment",
        }  # fmt: skip
    alone = json.loads(seqzoo("eval", trained.folder, "--json").out)
    assert said["models"][1]["metrics"] == alone["metrics"]
    assert said["models"][1]["stored"] == alone["stored"]
    assert said["models"][1]["bytes"] == (trained.folder / WEIGHTS).stat().st_size
    (pair,) = said["pairs"]
    assert pair.keys() == {"a", "b", "metric", "difference", "interval", "p_value", "p_adjusted"}
    assert pair["difference"] < 0
    # All but the times is the same for the same seed.
    again = json.loads(seqzoo(*words, "--json").out)
    assert again["pairs"] == said["pairs"]


def test_the_baselines_are_compared_unless_they_are_not_wanted(trained, seqzoo):
    answer = seqzoo("compare", trained.folder, "--json")
    assert (answer.code, answer.err) == (0, "")
    names = [model["name"] for model in json.loads(answer.out)["models"]]
    assert names == [str(trained.folder), "popular", "recent-popular", "item-knn", "markov"]


def test_drift_is_reported_with_exit_code_1(tiny, other, seqzoo):
    model = SequenceModel.from_pretrained(tiny)
    metrics = json.loads((tiny / "metrics.json").read_text())
    metrics["loo-full"]["metrics"]["mrr@10"] += 0.01
    save_model(tiny, model, recipe=model.recipe, metrics=metrics)
    answer = seqzoo("compare", tiny, other, "--no-baselines")
    assert answer.code == 1
    assert f"drift: {tiny} differs from its stored metrics" in answer.out


def test_other_data_are_a_warning_that_quiet_silences(trained, tiny, seqzoo):
    answer = seqzoo("compare", trained.folder, tiny, "--min-count", 6)
    assert answer.code == 0
    assert f"warning: {tiny}: the data differ from those of the stored metrics" in answer.err
    assert seqzoo("compare", trained.folder, tiny, "--min-count", 6, "--quiet").err == ""


def test_no_data_to_be_found(refused, tiny, trained):
    save_model(tiny, SequenceModel.from_pretrained(tiny), recipe={}, metrics={})
    assert "give them with --data" in refused("compare", tiny, trained.folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "missing argument"),
        (["ONE", "--no-baselines"], "name two or more"),
        (["ONE", "TWO", "ONE"], "is named more than once"),
        (["ONE", "TWO", "--metric", "ndgc@10"], "did you mean 'ndcg@10'"),
        (["ONE", "TWO", "--protocol", "loo-ful"], "did you mean 'loo-full'"),
        (["ONE", "TWO", "--data", ""], "--data is empty"),
        (["ONE", "TWO", "--protocol", "loo-recbole", "--min-count", 1], "uses the 5-core, and"),
        (["ONE", "TWO", "--batch-size", 0], "--batch-size is 0"),
        (["ONE", "TWO", "--seed", -1], "--seed is -1"),
        (["ONE", "TWO", "--metrik", "hit@5"], "did you mean '--metric'"),
        (["ONE", "sasrec-ml1n"], "did you mean 'sasrec-ml1m'"),
        (["ONE", "TWO", "--plot", "quality.pgn"], "did you mean '.png'"),
        (["ONE", "TWO", "--plot", "nowhere/quality.png"], "'nowhere' does not exist"),
        (["ONE", "TWO", "--data", "sinthetic", "--plot", "quality.png"], "did you mean 'synthe"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    trained, other, refused, words, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folders = {"ONE": trained.folder, "TWO": other}
    assert message in refused("compare", *(folders.get(word, word) for word in words))
    assert not list(tmp_path.iterdir())


def test_one_folder_under_two_names(trained, refused):
    again = trained.folder / ".." / trained.folder.name
    assert "are the same checkpoint" in refused("compare", trained.folder, again)


def test_a_plot_that_cannot_be_written_does_not_lose_the_metrics(
    trained, other, seqzoo, tmp_path, monkeypatch
):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("seqzoo.evaluation.plot.os.replace", full)
    answer = seqzoo("compare", trained.folder, other, "--plot", tmp_path / "quality.png")
    assert answer.code == 2
    assert "NDCG@10" in answer.out
    assert "cannot be written: No space left on device" in answer.err


def test_an_unknown_plot_format_is_an_error_before_anything_is_read(refused):
    """The checkpoints are not even there."""
    said = refused("compare", "./none", "./nothing", "--plot", "quality.gif")
    assert "expected one of: .pdf, .png, .svg" in said


def test_other_filters_are_refused(trained, tiny, refused):
    model = SequenceModel.from_pretrained(tiny)
    recipe = {**model.recipe, "data": {**model.recipe["data"], "min_count": 9}}
    save_model(tiny, model, recipe=recipe, metrics={})
    assert "give --min-count" in refused("compare", trained.folder, tiny)
