from collections.abc import Callable

import polars as pl
import pytest

from seqzoo.data.interactions import Interactions


def table(rows: list[tuple[str, str, int]], **options: object) -> Interactions:
    frame = pl.DataFrame(
        rows, schema={"user": pl.String, "item": pl.String, "order": pl.Int64}, orient="row"
    )
    return Interactions.from_frame(frame, **options)  # type: ignore[arg-type]


@pytest.fixture
def interactions() -> Callable[..., Interactions]:
    return table
