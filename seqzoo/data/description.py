"""``describe_data``: interactions before and after their filter, and what smaller filters keep."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqzoo.data.counting import frequencies
from seqzoo.data.interactions import Interactions, core_or_none, loss_of_items
from seqzoo.data.prepare import DataConfig, load_data, load_prepared
from seqzoo.data.prepared import is_prepared
from seqzoo.data.summary import Summary, summarise

__all__ = ["Description", "Int64s", "describe_data"]

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Description:
    """Interactions before and after their filter.

    Attributes:
        name: the name of the data.
        source: what was described: a name or a path.
        stages: the interactions as read and after each filter; one without rows is the last.
        smaller: what k-cores with a smaller k keep; only if the filter drops most items.
        warning: the numbers before and after a filter that drops most items, or None.
        counts: by stage, the numbers of interactions of each user and of each item.
    """

    name: str
    source: str
    stages: tuple[Summary, ...]
    smaller: tuple[Summary, ...] = ()
    warning: str | None = None
    counts: dict[str, tuple[Int64s, Int64s]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The description as plain values, without ``counts``."""
        return {
            "name": self.name,
            "source": self.source,
            "stages": [summary.to_json() for summary in self.stages],
            "smaller": [summary.to_json() for summary in self.smaller],
            "warning": self.warning,
        }


def describe_data(config: DataConfig, data: Any = None) -> Description:
    """Describe the interactions that a recipe's data section names.

    A filter that keeps nothing is described, not an error.

    Args:
        config: the section; ``order`` does not matter.
        data: data to read instead of ``config.source``, see :func:`seqzoo.data.prepare.prepare`.

    Raises:
        SeqzooError: as :func:`seqzoo.data.prepare.load_data` and
            :func:`seqzoo.data.prepare.load_prepared`.
    """
    source = config.source if data is None else data
    if isinstance(source, str | Path) and is_prepared(source):
        loaded = load_prepared(source, config)
        items = np.bincount(loaded.sequences.items, minlength=len(loaded.vocabulary) + 1)[1:]
        stage = loaded.summaries[-1].stage
        counts = {stage: (loaded.sequences.lengths, items.astype(np.int64))}
        return Description(loaded.name, config.source, loaded.summaries, counts=counts)
    whole = load_data(source, vars(config))
    stages, counts = [whole.summary], {whole.summary.stage: _counts(whole)}
    smaller: list[Summary] = []
    warning = None
    if config.min_count > 1:
        core = core_or_none(whole, config.min_count)
        stages.append(_stage(core, config.min_count))
        warning = loss_of_items(whole, core, config.min_count)
        if core is not None:
            counts[stages[-1].stage] = _counts(core)
        if warning is not None:
            for k in range(2, config.min_count):
                if (kept := core_or_none(whole, k)) is None:
                    break
                smaller.append(kept.summary)
    return Description(whole.name, config.source, tuple(stages), tuple(smaller), warning, counts)


def _stage(core: Interactions | None, minimum: int) -> Summary:
    if core is not None:
        return core.summary
    empty = np.empty(0, dtype=np.int32)
    return summarise(f"{minimum}-core", empty, empty, (0, 0), None)


def _counts(interactions: Interactions) -> tuple[Int64s, Int64s]:
    return (
        frequencies(interactions.users, interactions.num_users),
        frequencies(interactions.items, interactions.num_items),
    )
