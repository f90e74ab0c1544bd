import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from seqzoo.data.interactions import Interactions

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """A function from a data set's name to its real folder; skips where it is not there."""
    folder = Path(os.environ.get("SEQZOO_DATA") or REPOSITORY.parent / "shared" / "data")

    def find(name: str) -> Path:
        if not (folder / name).is_dir():
            pytest.skip(f"no real data: {folder / name} is not there (set SEQZOO_DATA)")
        return folder / name

    return find


def table(rows: list[tuple[str, str, int]], **options: object) -> Interactions:
    frame = pl.DataFrame(
        rows, schema={"user": pl.String, "item": pl.String, "order": pl.Int64}, orient="row"
    )
    return Interactions.from_frame(frame, **options)  # type: ignore[arg-type]


@pytest.fixture
def interactions() -> Callable[..., Interactions]:
    return table
