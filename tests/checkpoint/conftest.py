"""A small checkpoint, for tests to read, write and damage."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

import seqzoo
from seqzoo.cli.app import run
from seqzoo.errors import CheckpointError
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from tests.samples import METRICS, RECIPE, make_model

VERBS = ("info", "info --json", "eval")


@pytest.fixture(scope="session")
def model() -> SequenceModel:
    return make_model()


@pytest.fixture(scope="session")
def _pristine(model: SequenceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine") / "checkpoint"
    save_model(folder, model, recipe=RECIPE, metrics=METRICS)
    return folder


@pytest.fixture
def folder(_pristine: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may change."""
    return Path(shutil.copytree(_pristine, tmp_path / "checkpoint"))


@contextmanager
def _refused(*fragments: str, error: type[CheckpointError] = CheckpointError) -> Iterator[None]:
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message, message


@pytest.fixture
def refused() -> Callable[..., AbstractContextManager[None]]:
    """``with refused("model.safetensors", "sha256"):`` the error is one line that says all that."""
    return _refused


@pytest.fixture
def says(capsys):
    """Run a command line: its exit code, and what it printed, none of it a traceback."""

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


@pytest.fixture
def refused_by_all(says, refused):
    """The folder's file is refused by ``load`` and by every verb."""

    def check(folder: Path, name: str, fragment: str) -> None:
        with refused(name, fragment, "; "):
            seqzoo.load(folder)
        for verb in VERBS:
            code, out, err = says(*verb.split(), folder)
            assert (code, out) == (2, ""), (verb, out, err)
            assert err.startswith("error: "), err
            assert err.count("\n") == 1, err
            assert name in err, err
            assert len(err) < 600, err
        # ``verify`` reports every check, so it continues and ends with 1.
        code, out, err = says("verify", folder)
        assert (code, err) == (1, "")
        assert "FAILED" in out
        assert name in out

    return check
