import os
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """A function from a data set's name to its real folder; skips where it is not there."""
    folder = Path(os.environ.get("SEQZOO_DATA") or REPOSITORY.parent / "shared" / "data")

    def find(name: str) -> Path:
        if not (folder / name).is_dir():
            pytest.skip(f"no real data: {folder / name} is not there (set SEQZOO_DATA)")
        return folder / name

    return find
