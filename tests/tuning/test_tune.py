"""Tuning on small generated data: resumable, by the validation item alone, with a report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import seqzoo
from seqzoo.cli.app import run
from seqzoo.errors import ConfigError, TrainingError, UsageError
from seqzoo.evaluation import held_out
from seqzoo.training import run as training_run
from seqzoo.tuning import trial as trial_module
from seqzoo.tuning.space import space_of
from seqzoo.tuning.study import Study
from seqzoo.tuning.tune import tune

RECIPE = {
    "architecture": "gru4rec",
    "model": {"hidden_size": 8, "gru_size": 8, "max_length": 20},
    "data": {
        "source": "synthetic",
        "min_count": 1,
        "options": {"users": 50, "items": 25, "mean_length": 10},
    },
    "train": {"epochs": 2, "batch_size": 8},
}
SEARCH = {"train.lr": "1e-3..1e-2"}


def ends(result):
    return [(trial.number, trial.state, trial.value, trial.settings) for trial in result.trials]


def test_it_ends_with_the_best_run_and_its_recipe(tmp_path, monkeypatch):
    parts = []
    real = held_out.hold_out
    monkeypatch.setattr(
        training_run,
        "hold_out",
        lambda data, vocabulary, chosen, part="test": (
            parts.append(part) or real(data, vocabulary, chosen, part)
        ),
    )
    result = tune(RECIPE, trials=3, out=tmp_path / "t", search=SEARCH)
    # The test items are read once, after all trials.
    assert parts.count("test") == 1
    assert parts[-1] == "test"
    values = [trial.value for trial in result.trials]
    assert len(values) == 3
    assert result.best.value == max(values)
    assert result.trials[0].settings["train.lr"] == 3e-3, "the first trial has the defaults"
    model = seqzoo.load(tmp_path / "t" / "best")
    assert model.recipe["train"]["lr"] == result.best.settings["train.lr"]
    assert {key: entry["metrics"] for key, entry in model.metrics.items()} == result.metrics
    assert "baselines" in model.metrics["loo-full"]
    left = [path for path in (tmp_path / "t" / "trials").iterdir() if path.is_dir()]
    assert not left, "only the best run's folder stays"
    page = (tmp_path / "t" / "report.html").read_text("utf-8")
    assert f"{result.best.value:.4f}" in page
    assert (tmp_path / "t" / "trials.png").read_bytes()[:4] == b"\x89PNG"
    again = tune(RECIPE, trials=3, out=tmp_path / "t", search=SEARCH)
    assert ends(again) == ends(result)
    assert again.metrics == result.metrics
    more = tune(RECIPE, trials=4, out=tmp_path / "t", search=SEARCH)
    assert ends(more)[:3] == ends(result)
    assert len(more.trials) == 4
    retrained = seqzoo.train(model.recipe, tmp_path / "again")
    assert retrained.metrics == result.metrics


def test_ctrl_c_keeps_the_trial_which_resumes(tmp_path, monkeypatch):
    whole = tune(RECIPE, trials=2, out=tmp_path / "whole", search=SEARCH)
    calls = []

    class Stopping(trial_module._Watching):
        def epoch(self, record, best):
            super().epoch(record, best)
            calls.append(record["epoch"])
            if len(calls) == 3:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trial_module, "_Watching", Stopping)
        stopped = tune(RECIPE, trials=2, out=tmp_path / "t", search=SEARCH)
    assert stopped.interrupted
    assert not stopped.finished
    assert calls == [1, 2, 1]
    assert (tmp_path / "t" / "report.html").exists()
    result = tune(RECIPE, trials=2, out=tmp_path / "t", search=SEARCH)
    # The stopped trial has another number now, and the same settings and result.
    found, wanted = ([end[1:] for end in ends(each)] for each in (result, whole))
    assert found == wanted
    assert result.metrics == whole.metrics


def test_a_trial_of_a_killed_process_is_resumed(tmp_path):
    tune(RECIPE, trials=1, out=tmp_path / "t", search=SEARCH)
    space = space_of("gru4rec", SEARCH, RECIPE)
    study = Study(tmp_path / "t", space, 0)
    trial = study.ask(2, {})
    drawn = study.settings_of(trial)
    held = Study(tmp_path / "t", space, 0)
    assert held.ask(2, {}) is None, "the trial runs elsewhere, so there is none to start"
    study.unlock(trial.number)
    result = tune(RECIPE, trials=2, out=tmp_path / "t", search=SEARCH)
    assert len(result.trials) == 2
    assert result.trials[1].settings == drawn
    assert result.finished


def test_a_trial_that_is_pruned_and_one_that_fails(tmp_path, monkeypatch):
    import optuna

    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda self: self.number == 1)
    search = {"model.num_layers": [1, 2]}
    real = trial_module.train

    def failing(recipe, *arguments, **options):
        if recipe.model["num_layers"] == 2 and failing.armed:
            failing.armed = False
            raise TrainingError("the loss became nan")
        return real(recipe, *arguments, **options)

    failing.armed = True
    monkeypatch.setattr(trial_module, "train", failing)
    result = tune(RECIPE, trials=6, out=tmp_path / "t", search=search)
    states = [trial.state for trial in result.trials]
    assert len(states) == 6
    assert states[0] == "complete"
    assert result.best is not None
    assert set(states) <= {"complete", "pruned", "failed"}
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert all(trial.error == "the loss became nan" for trial in failed)
    assert failed or states[1] == "pruned"


def test_every_trial_fails(tmp_path, monkeypatch):
    def failing(*arguments, **options):
        raise TrainingError("the loss became nan")

    monkeypatch.setattr(trial_module, "train", failing)
    with pytest.raises(TrainingError, match="no trial was completed; the last one: the loss"):
        tune(RECIPE, trials=2, out=tmp_path / "t", search=SEARCH)


def test_mistakes_are_found_before_any_trial(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown setting 'train\.lrr'"):
        tune(RECIPE, out=tmp_path / "t", search={"train.lrr": "1e-3..1e-2"})
    with pytest.raises(ConfigError, match=r"setting 'dropout' is 1\.5"):
        tune(RECIPE, out=tmp_path / "t", search={"model.dropout": "0.1..1.5"})
    with pytest.raises(UsageError, match="trials"):
        tune(RECIPE, trials=0, out=tmp_path / "t")
    with pytest.raises(UsageError, match="'markov' is a baseline"):
        tune({**RECIPE, "architecture": "markov", "model": {}}, out=tmp_path / "t")
    assert not (tmp_path / "t").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="is not empty and holds no tuning"):
        tune(RECIPE, out=tmp_path / "full", search=SEARCH)


def test_the_first_trial_has_the_data_dependent_defaults(tmp_path):
    recipe = {
        "architecture": "sasrec",
        "model": {"hidden_size": 8, "num_layers": 1, "max_length": 200},
        "data": RECIPE["data"],
        "train": {"epochs": 1, "baselines": False},
    }
    result = tune(recipe, trials=1, out=tmp_path / "t", search={"model.dropout": [0.1, 0.2]})
    first = result.trials[0].settings
    # So few events make batches of one window, which are not among the usual choices.
    assert (first["train.batch_size"], first["train.lr"]) == (1, 2e-3)
    # What the user asks for stays as it is.
    assert first["model.dropout"] in (0.1, 0.2)
    plain = seqzoo.train({**recipe, "model": {**recipe["model"], "dropout": 0.5}}, tmp_path / "p")
    assert seqzoo.load(plain.out).recipe["train"]["batch_size"] == 1


def test_another_tuning_in_the_folder_is_not_mixed_with_it(tmp_path):
    tune(RECIPE, trials=1, out=tmp_path / "t", search=SEARCH)
    with pytest.raises(TrainingError, match=r"train\.lr is 0\.001\S+ there and 0\.001\S+ here"):
        tune(RECIPE, trials=1, out=tmp_path / "t", search={"train.lr": "1e-3..2e-2"})
    other = {**RECIPE, "train": {**RECIPE["train"], "epochs": 3}}
    with pytest.raises(TrainingError, match=r"train\.epochs is 2 there and 3 here"):
        tune(other, trials=1, out=tmp_path / "t", search=SEARCH)


GOOD = {"recipe": {"architecture": "gru4rec"}, "space": {"train.lr": "1e-3..1e-2"}}


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ("{", "is not the JSON that seqzoo writes"),
        (json.dumps(GOOD)[:-9], "is not the JSON that seqzoo writes"),
        pytest.param("[" * 100_000, "is not the JSON that seqzoo writes", id="deep"),
        ("\xff", "is not the JSON that seqzoo writes"),
        pytest.param(" " * (1 << 20) + "{}", "is longer than the 1048576 bytes", id="long"),
        (5, "the document is 5, expected"),
        ({}, "the document lacks 'recipe'"),
        ({"recipe": {}}, "the document lacks 'space'"),
        ({**GOOD, "seed": 1}, "has the unknown key 'seed'"),
        ({**GOOD, "recipe": ["gru4rec"]}, r"'recipe' is \['gru4rec'\], expected settings by name"),
        ({**GOOD, "space": "all"}, "'space' is 'all', expected ranges and choices by setting"),
        ({**GOOD, "space": {"train.lr": 1}}, r"'space.train\.lr' is 1, expected a string"),
        ({**GOOD, "recipe": {"train": 5}}, "holds another tuning .*'train' is 5, expected"),
        ({**GOOD, "recipe": {**RECIPE, "start": 5}}, "holds another tuning"),
    ],
)
def test_damage_to_the_file_of_a_tuning_is_one_line(tmp_path, damaged, message):
    text = damaged if isinstance(damaged, str) else json.dumps(damaged)
    (tmp_path / "tuning.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(TrainingError, match=message) as caught:
        tune(RECIPE, trials=1, out=tmp_path, search=SEARCH)
    assert str(tmp_path) in str(caught.value)
    assert any(remedy in str(caught.value) for remedy in ("another folder", "restore the file"))
    assert "\n" not in str(caught.value)


def test_the_command(tmp_path, capsys):
    data = ["--data", "synthetic", "data.options={users: 50, items: 25, mean_length: 10}"]
    small = ["data.min_count=1", "model.hidden_size=8", "train.epochs=1"]
    words = ["tune", "gru4rec", *data, *small, "--search", "train.lr=1e-3..1e-2"]
    words += ["--out", str(tmp_path / "t"), "--trials", "1"]
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["out"] == str(tmp_path / "t")
    assert found["trials"] == 1
    assert found["best"].keys() == {"number", "value", "settings"}
    assert found["seconds"] > 0
    assert Path(found["checkpoint"]).is_dir()
    assert run(words) == 0
    shown = capsys.readouterr().out
    assert "report" in shown
    assert "seqzoo eval" in shown


def test_without_optuna_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert run(["tune", "gru4rec", "--data", "synthetic", "--out", str(tmp_path / "t")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == (
        "error: tuning needs optuna, which is not installed: pip install 'seqzoo[tune]'"
    )


def test_tables_in_the_recipe_are_read(tmp_path):
    events = [
        {"user": f"u{user}", "item": f"i{(3 * user + time * (1 + user % 2)) % 30}", "time": time}
        for user in range(20)
        for time in range(6)
    ]
    titles = [{"item_id": f"i{item}", "title": f"thing {item % 5}"} for item in range(30)]
    asked = {
        "architecture": "gru4rec",
        "model": {"embedder": "item-features", "hidden_size": 8, "gru_size": 8, "max_length": 10},
        "data": {
            "source": events,
            "min_count": 1,
            "item_features": titles,
            "item_columns": {"title": "text"},
        },
        "train": {"epochs": 1, "baselines": False},
    }
    found = tune(asked, trials=2, out=tmp_path / "t", search=SEARCH)
    assert [trial.state for trial in found.trials] == ["complete", "complete"]
    model = seqzoo.load(tmp_path / "t" / "best")
    model.extend(["new"], [{"item_id": "new", "title": "thing 3"}])
    assert model.recommend(["i1", "i2"], k=1)


@pytest.mark.slow
def test_two_processes_share_the_trials(tmp_path):
    words = ["tune", "gru4rec", "--data", "synthetic", "data.min_count=1", "model.hidden_size=8"]
    words += ["train.epochs=2", "--trials", "6", "--out", str(tmp_path / "t"), "--json"]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "seqzoo", *words], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    results = [json.loads(process.communicate(timeout=600)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    last = max(results, key=lambda result: bool(result["metrics"]))
    assert last["trials"] == 6
    assert last["metrics"]
    assert sum(last["states"].values()) == 6
    seqzoo.load(tmp_path / "t" / "best")
