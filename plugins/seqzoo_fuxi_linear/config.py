"""Settings of FuXi-Linear's embedder and backbone."""

from dataclasses import dataclass

from seqzoo.parts.config import check_choice, check_multiple, check_range

__all__ = ["TIMES", "FuxiEmbedderConfig", "FuxiLinearConfig"]

TIMES = ("next", "previous")


@dataclass
class FuxiEmbedderConfig:
    """Settings of the embedder ``fuxi-linear``.

    Attributes:
        hidden_size: width D of the item vectors.
        max_length: maximum sequence length; only the newest events of longer histories are read.
        spare_positions: rows of the position tables beyond ``max_length``, which published weights
            have and no history reaches.
        dropout: dropout probability of the embedded values.
    """

    hidden_size: int = 64
    max_length: int = 200
    spare_positions: int = 0
    dropout: float = 0.2

    def __post_init__(self) -> None:
        check_range("hidden_size", self.hidden_size, 1)
        check_range("max_length", self.max_length, 1)
        check_range("spare_positions", self.spare_positions, 0)
        check_range("dropout", self.dropout, 0.0, 1.0)

    @property
    def positions(self) -> int:
        """Rows of the position tables."""
        return self.max_length + self.spare_positions


@dataclass
class FuxiLinearConfig(FuxiEmbedderConfig):
    """Settings of the backbone ``fuxi-linear``; those of time are published for MovieLens-20M.

    Attributes:
        num_layers: number of layers.
        num_heads: heads of the retention; must divide ``hidden_size``.
        query_size: width of a head's queries and keys.
        num_periods: number of periods; twice as many must divide ``hidden_size``.
        first_period: the shortest period in seconds. For timestamps of whole days 86400, the
            seconds of a day.
        period_ratio: ratio of each period to the one before it.
        time: the query time of a position: ``next`` is the time of the next event, which is known
            in training, or of the request when recommending; ``previous`` is the time of the
            position's own event.
        learn_decay: learn how fast each period's oscillation fades; otherwise it halves with every
            radian.
        time_skip: weight the sum over the events and the newest event, by learned weights.
        position_size: width of the learned vectors that weight events by their positions; even.
        ffn_expand: the feed-forward layer has an inner width of ``ffn_expand * hidden_size``.
        chunk_size: events that are compared in pairs; trades memory for speed, and changes results
            by rounding only.
    """

    num_layers: int = 2
    num_heads: int = 2
    query_size: int = 32
    num_periods: int = 8
    first_period: float = 1.0
    period_ratio: float = 16.0
    time: str = "next"
    learn_decay: bool = False
    time_skip: bool = False
    position_size: int = 32
    ffn_expand: int = 1
    chunk_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = ("num_layers", "num_heads", "query_size", "num_periods", "position_size")
        for name in (*sizes, "ffn_expand", "chunk_size"):
            check_range(name, getattr(self, name), 1)
        check_range("first_period", self.first_period, 1e-3)
        check_range("period_ratio", self.period_ratio, 1.0)
        check_choice("time", self.time, TIMES)
        check_multiple("hidden_size", self.hidden_size, "num_heads", self.num_heads)
        check_multiple("hidden_size", self.hidden_size, "2 * num_periods", 2 * self.num_periods)
        check_multiple("position_size", self.position_size, "2", 2)

    @property
    def periods(self) -> list[float]:
        """The periods in seconds, from the shortest to the longest."""
        return [self.first_period * self.period_ratio**index for index in range(self.num_periods)]
