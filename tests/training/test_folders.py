"""The folder of a run: which contents are resumed, replaced or refused."""

import json
import os
import shutil

import pytest

from seqzoo.errors import CheckpointError, TrainingError
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.loop import train


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, which a test may change."""
    result, _ = finished("sasrec")
    return shutil.copytree(result.out, tmp_path / "run")


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_finished_run_is_read_back(finished, run, recipe, heard):
    result, _ = finished("sasrec")
    before = contents(run)
    again = train(recipe("sasrec"), run, reporter=heard)
    assert not heard.started
    assert contents(run) == before
    assert (again.metrics, again.epochs, again.best_epoch, again.seconds) == (
        result.metrics,
        result.epochs,
        result.best_epoch,
        result.seconds,
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": 1e-4}, r"\(train\.lr is 0\.005 there and 0\.0001 here\)"),
        ({"epochs": 4}, r"\(train\.epochs is 3 there and 4 here\)"),
        ({"epochs": 4, "lr": 1e-4}, r"\(train\.epochs is 3 there and 4 here and 1 more\)"),
        ({"model": {"dropout": 0.1}}, r"\(model\.dropout is 0\.\d+ there and 0\.1 here"),
        ({"data": {"min_count": 2}}, r"\(data\.min_count is \d there and 2 here\)"),
    ],
)
def test_another_recipe_is_refused(run, recipe, change, words):
    before = contents(run)
    with pytest.raises(TrainingError, match=f"holds a run of another recipe {words}.*--overwrite"):
        train(recipe("sasrec", **change), run)
    with pytest.raises(TrainingError, match="architecture is sasrec there and mamba4rec here"):
        train(recipe("mamba4rec"), run)
    assert contents(run) == before


def test_a_run_from_before_a_setting_existed_resumes(run, recipe, heard):
    """It had the default; any other value is another recipe."""
    path = run / "training" / "progress.json"
    progress = json.loads(path.read_text())
    del progress["recipe"]["train"]["context"]
    path.write_text(json.dumps(progress))
    train(recipe("sasrec"), run, reporter=heard)
    assert not heard.started
    with pytest.raises(TrainingError, match=r"train\.context is 0 there and 4 here"):
        train(recipe("sasrec", context=4), run)


def test_a_run_of_what_is_not_installed_is_refused(run, recipe):
    path = run / "training" / "progress.json"
    progress = json.loads(path.read_text())
    progress["recipe"]["architecture"] = "sasrek"
    path.write_text(json.dumps(progress))
    with pytest.raises(TrainingError, match=r"this version cannot run: .*sasrek.*--overwrite"):
        train(recipe("sasrec"), run)


def test_overwrite_starts_again(finished, run, recipe, heard, same_files):
    expected, _ = finished("mamba4rec")
    result = train(recipe("mamba4rec"), run, overwrite=True, reporter=heard)
    assert [epoch for epoch, _, _ in heard.started] == [1, 2, 3]
    assert result.metrics == expected.metrics
    same_files(run, expected.out)


def test_overwrite_starts_the_same_recipe_again(finished, run, recipe, heard, same_files):
    expected, _ = finished("sasrec")
    train(recipe("sasrec"), run, overwrite=True, reporter=heard)
    assert len(heard.started) == 3
    same_files(run, expected.out)


def test_an_empty_folder_is_taken(recipe, tmp_path, heard):
    train(recipe("sasrec", epochs=1), tmp_path, reporter=heard)
    assert len(heard.started) == 1


def test_what_a_kill_at_the_very_start_leaves_is_taken(recipe, tmp_path, heard):
    (tmp_path / "training").mkdir()
    train(recipe("sasrec", epochs=1), tmp_path, reporter=heard)
    assert len(heard.started) == 1


def test_a_folder_with_something_else_is_refused(recipe, tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(TrainingError, match="not empty and holds no run; give another folder"):
        train(recipe("sasrec"), tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"dear"}


def test_a_checkpoint_without_its_run_is_refused(run, recipe):
    shutil.rmtree(run / "training")
    before = contents(run)
    with pytest.raises(TrainingError, match="holds no run"):
        train(recipe("sasrec"), run)
    assert contents(run) == before


def test_overwrite_takes_no_folder_that_holds_no_run(recipe, tmp_path):
    for name in ("README.md", "recipe.yaml", "metrics.json"):
        (tmp_path / name).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(TrainingError, match="not empty and holds no run; give another folder"):
        train(recipe("sasrec"), tmp_path, overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("finished_before", [True, False])
@pytest.mark.parametrize("change", ["a row more", "every item renamed"])
def test_a_run_resumes_only_with_its_own_data(recipe, tmp_path, change, finished_before):
    file, out = tmp_path / "shop.csv", tmp_path / "run"
    rows = [f"u{user},i{(3 * user + step) % 11},{step}" for user in range(30) for step in range(6)]
    header = "user,item,timestamp"
    file.write_text("\n".join([header, *rows]))
    settings = recipe("sasrec", data={"source": str(file), "options": {}}, epochs=2)
    train(settings, out)
    path = out / "training" / "progress.json"
    progress = json.loads(path.read_text())
    path.write_text(json.dumps(progress | {"finished": finished_before}))
    if change == "a row more":
        rows.append("u0,i3,9")
    else:
        rows = [row.replace("i", "thing") for row in rows]
    file.write_text("\n".join([header, *rows]))
    before = contents(out)
    with pytest.raises(TrainingError, match=r"holds a run on other data: .*shop.*--overwrite"):
        train(settings, out)
    assert contents(out) == before
    train(settings, out, overwrite=True)
    fingerprint = SequenceModel.from_pretrained(out).recipe["data"]["fingerprint"]
    assert fingerprint != progress["fingerprint"]
    assert json.loads(path.read_text())["fingerprint"] == fingerprint


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("place", ["file", "file/run", "file/deep/run"])
def test_what_cannot_be_a_folder_is_refused_before_any_work(
    recipe, tmp_path, heard, place, overwrite
):
    (tmp_path / "file").write_text("dear")
    with pytest.raises((TrainingError, CheckpointError)) as caught:
        train(recipe("sasrec"), tmp_path / place, reporter=heard, overwrite=overwrite)
    assert str(tmp_path / "file") in str(caught.value)
    assert not heard.started
    assert contents(tmp_path) == {"file": b"dear"}


def test_a_file_is_named_as_one(recipe, tmp_path):
    (tmp_path / "file").write_text("dear")
    with pytest.raises(TrainingError, match="is a file; give a folder as --out"):
        train(recipe("sasrec"), tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_parent_that_cannot_be_written_is_refused_before_any_work(recipe, tmp_path, heard):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(CheckpointError, match="check its permissions or choose another folder"):
        train(recipe("sasrec"), tmp_path / "locked" / "run", reporter=heard)
    assert not heard.started


def test_an_error_of_the_system_gives_no_traceback(recipe, heard):
    """/proc takes no folders, not even root's."""
    with pytest.raises(CheckpointError, match="cannot be written"):
        train(recipe("sasrec"), "/proc/seqzoo/run", reporter=heard)
    assert not heard.started


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": "x"},
        {"fingerprint": 5},
        {"epoch": "x"},
        {"epoch": -5},
        {"best_value": None},
        {"epochs": 5},
        {"epochs": []},
        {"finished": "no"},
    ],
)
def test_a_progress_file_with_values_of_other_types(run, recipe, change):
    path = run / "training" / "progress.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(TrainingError, match=r"progress\.json: .*, expected .*--overwrite"):
        train(recipe("sasrec"), run)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"epoch": 3}', b'{"recipe": "x", "y": 1}'])
def test_a_damaged_progress_file(run, recipe, content):
    (run / "training" / "progress.json").write_bytes(content)
    with pytest.raises(TrainingError, match=r"progress\.json.*--overwrite"):
        train(recipe("sasrec"), run)
    train(recipe("sasrec", epochs=1), run, overwrite=True)
    SequenceModel.from_pretrained(run)


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "of another model"])
def test_a_damaged_state(recipe, finished, run, damage):
    """The run is made unfinished, so that its state has to be read."""
    progress = run / "training" / "progress.json"
    text = progress.read_text()
    progress.write_text(text.replace('"finished": true', '"finished": false'))
    state = run / "training" / "state.safetensors"
    content = state.read_bytes()
    if damage == "missing":
        state.unlink()
    elif damage == "of another model":
        other, _ = finished("mamba4rec")
        shutil.copy(other.out / "training" / "state.safetensors", state)
    else:
        state.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(TrainingError, match=r"state\.safetensors does not hold .*--overwrite"):
        train(recipe("sasrec"), run)
