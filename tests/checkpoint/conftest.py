"""A small checkpoint, for tests to read, write and damage."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from seqzoo.errors import CheckpointError
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from tests.samples import METRICS, RECIPE, make_model


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
    """A checkpoint to do anything to."""
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
