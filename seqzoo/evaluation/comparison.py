"""``Comparison``: the result of ``compare``, as data."""

from dataclasses import asdict, dataclass
from typing import Any

from seqzoo.evaluation.measurement import Measurement
from seqzoo.metric_names import metric_title
from seqzoo.notebook import block, line, number, table

__all__ = [
    "Compared",
    "Comparison",
    "Pair",
]


@dataclass(frozen=True, kw_only=True)
class Compared(Measurement):
    """One of the models of a comparison: a ``Measurement`` and more.

    The drift is empty if the data differ from those of the stored metrics.

    Attributes:
        name: the caller's name of the model.
        architecture: registered name.
        interval: lower and upper bound of each metric's 95 % interval, bootstrapped over users;
            metrics of lists have none.
        parameters: number of trainable parameters.
        bytes: size of the weights.
        state_bytes: size of one user's session state after as many events as the model reads (200
            at most); None if the model cannot stream.
        users_per_second: targets ranked per second over all candidates, in this run.
    """

    name: str
    architecture: str
    interval: dict[str, list[float]]
    parameters: int
    bytes: int
    state_bytes: int | None
    users_per_second: float


@dataclass(frozen=True)
class Pair:
    """Two models of a comparison.

    Attributes:
        a, b: their names.
        metric: the metric they are compared by, for example ``ndcg@10``.
        difference: the metric of ``a`` minus that of ``b``.
        interval: lower and upper bound of its 95 % interval, bootstrapped over users.
        p_value: the p-value of the two-sided paired randomisation test.
        p_adjusted: the same with Holm's correction for the number of pairs.
    """

    a: str
    b: str
    metric: str
    difference: float
    interval: list[float]
    p_value: float
    p_adjusted: float


@dataclass(frozen=True)
class Comparison:
    """Models measured on the same users, and their differences.

    Attributes:
        protocol: name of the protocol.
        metric: the metric that the pairs are compared by.
        data: name and fingerprint, and what the ``split`` holds out.
        users: number of users.
        left_out: always 0, as every user counts for every model; kept for readers of the JSON.
        models: the models, in the order in which they were given.
        pairs: every pair of them.
        resamples: number of bootstrap samples for the intervals.
        permutations: number of random sign changes for the p-values.
        seed: random seed of both.
        seconds: wall time.
    """

    protocol: str
    metric: str
    data: dict[str, Any]
    users: int
    left_out: int
    models: list[Compared]
    pairs: list[Pair]
    resamples: int
    permutations: int
    seed: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        models = [
            {"name": each.name, "architecture": each.architecture, **asdict(each)}
            for each in self.models
        ]
        return {**asdict(self), "models": models}

    def _repr_html_(self) -> str:
        ranked = sorted(self.models, key=lambda model: -model.metrics[self.metric])
        title = metric_title(self.metric)
        models = []
        for model in ranked:
            low, high = model.interval[self.metric]
            models.append(
                [
                    model.name,
                    f"{model.metrics[self.metric]:.4f}",
                    f"{low:.4f} to {high:.4f}",
                    number(model.parameters),
                    number(round(model.users_per_second)),
                ]
            )
        pairs = [
            [
                f"{pair.a} - {pair.b}",
                f"{pair.difference:+.4f}",
                f"{pair.interval[0]:+.4f} to {pair.interval[1]:+.4f}",
                f"{pair.p_adjusted:.4f}",
            ]
            for pair in self.pairs
        ]
        return block(
            f"{title} on {self.data['name']} under {self.protocol}",
            line(f"{number(self.users)} users"),
            table(["model", title, "95 % interval", "parameters", "users/s"], models),
            table(["difference", title, "95 % interval", "p (Holm)"], pairs),
        ).text
