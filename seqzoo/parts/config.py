"""Settings of the core's own parts, and the checks of ``seqzoo.parts.checks`` by their names.

Without torch, so that settings can be read quickly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seqzoo.config import structure
from seqzoo.parts.checks import check_choice, check_multiple, check_range
from seqzoo.plugins import catalogue

__all__ = [
    "Cl4SRecConfig",
    "ContrastiveConfig",
    "CosineSoftmaxConfig",
    "CrossEntropyConfig",
    "GeneralisedBceConfig",
    "ItemEmbedderConfig",
    "ItemFeaturesConfig",
    "ItemFeaturesPositionConfig",
    "ItemOrderedPositionEmbedderConfig",
    "ItemPositionEmbedderConfig",
    "LossConfig",
    "MaskedItemConfig",
    "NegativesConfig",
    "NextItemConfig",
    "SampledSoftmaxConfig",
    "SelfAttentionConfig",
    "TiedSoftmaxConfig",
    "check_choice",
    "check_loss",
    "check_multiple",
    "check_range",
]


def check_loss(loss: str, options: Mapping[str, Any]) -> Any:
    """The settings of a registered loss, checked.

    Args:
        loss: its name.
        options: its settings that differ from their defaults.

    Raises:
        UnknownNameError: no loss has this name.
        ConfigError: an option is unknown, has the wrong type or an invalid value.
    """
    schema = catalogue().losses.get(loss).load_config()
    return structure(schema, options, "model.loss_options")


@dataclass
class ItemEmbedderConfig:
    """Settings of the embedder ``item``.

    Attributes:
        hidden_size: width D of the item vectors.
        max_length: maximum sequence length; only the newest events of longer histories are read.
        dropout: dropout probability of the embedded values.
        embedding_norm: LayerNorm ``after-dropout``, ``before-dropout`` or ``none``.
        norm_eps: epsilon of that LayerNorm.
        initialisation: distribution of the initial item table: ``normal`` with a standard deviation
            of 0.02, or ``xavier``, normal with one that depends on the number of items.
    """

    hidden_size: int = 64
    max_length: int = 200
    dropout: float = 0.2
    embedding_norm: str = "after-dropout"
    norm_eps: float = 1e-12
    initialisation: str = "normal"

    def __post_init__(self) -> None:
        check_range("hidden_size", self.hidden_size, 1)
        check_range("max_length", self.max_length, 1)
        check_range("dropout", self.dropout, 0.0, 1.0)
        check_range("norm_eps", self.norm_eps, 0.0)
        check_choice(
            "embedding_norm", self.embedding_norm, ("after-dropout", "before-dropout", "none")
        )
        check_choice("initialisation", self.initialisation, ("normal", "xavier"))


@dataclass
class ItemPositionEmbedderConfig(ItemEmbedderConfig):
    """Settings of the embedder ``item-position``: those of ``item``."""

    embedding_norm: str = "before-dropout"


@dataclass
class ItemOrderedPositionEmbedderConfig(ItemEmbedderConfig):
    """Settings of the embedder ``item-ordered-position``: those of ``item`` and more.

    Attributes:
        scale_items: multiply the item vectors by the square root of ``hidden_size`` before the
            positions are added, as the transformer does (arXiv 1706.03762, section 3.4). Scores
            use the vectors as they are.
        position_order: what position 0 is: the ``oldest`` event that is read, or the ``newest``, as
            in RecTools. With ``newest`` every event moves all positions, so sessions keep no state.
    """

    embedding_norm: str = "none"
    scale_items: bool = False
    position_order: str = "oldest"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("position_order", self.position_order, ("oldest", "newest"))


@dataclass
class ItemFeaturesConfig(ItemEmbedderConfig):
    """Settings of the embedder ``item-features``: those of ``item`` and more.

    Attributes:
        feature_codes: number of vectors for words, parts of words and categories, which share them
            by hashing.
        feature_min_items: a word, a part of a word or a category is used if at least this many
            items have it when the model is first trained. One that only a single item has says
            nothing about other items.
        ngram_sizes: lengths of the parts of words that have vectors; none for whole words only.
        id_dropout: probability with which an item's own vector is left out in a training step, so
            that the model learns to score items by their features only, as it must for new items.
    """

    feature_codes: int = 2**15
    feature_min_items: int = 3
    ngram_sizes: list[int] = field(default_factory=lambda: [3, 4])
    id_dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("feature_codes", self.feature_codes, 1, 2**24)
        check_range("feature_min_items", self.feature_min_items, 1)
        check_range("id_dropout", self.id_dropout, 0.0, 1.0)
        for size in self.ngram_sizes:
            check_range("ngram_sizes", size, 1, 20)


@dataclass
class ItemFeaturesPositionConfig(ItemFeaturesConfig):
    """Settings of the embedder ``item-features-position``: those of ``item-features``."""

    embedding_norm: str = "before-dropout"


@dataclass
class SelfAttentionConfig:
    """Settings of a backbone of self-attention and feed-forward layers.

    Attributes:
        hidden_size: width D of the model.
        num_layers: number of self-attention layers.
        num_heads: number of attention heads; must divide ``hidden_size``.
        inner_size: inner width of the feed-forward layers.
        dropout: dropout probability after attention and after the feed-forward layer.
        attention_dropout: dropout probability of the attention weights.
        norm_eps: epsilon of the LayerNorms.
    """

    hidden_size: int = 64
    num_layers: int = 2
    num_heads: int = 2
    inner_size: int = 256
    dropout: float = 0.2
    attention_dropout: float = 0.2
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "num_heads", "inner_size"):
            check_range(name, getattr(self, name), 1)
        for name in ("dropout", "attention_dropout"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        check_range("norm_eps", self.norm_eps, 0.0)
        check_multiple("hidden_size", self.hidden_size, "num_heads", self.num_heads)


@dataclass
class LossConfig:
    """Settings of a head that is trained by a registered loss.

    Attributes:
        loss: name of the loss.
        loss_options: settings of that loss.
    """

    loss: str = "cross-entropy"
    loss_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_loss(self.loss, self.loss_options)


@dataclass
class TiedSoftmaxConfig(LossConfig):
    """Settings of the head ``tied-softmax``: its loss and more.

    Attributes:
        output_bias: learn one bias per item.
    """

    output_bias: bool = False


@dataclass
class CosineSoftmaxConfig(LossConfig):
    """Settings of the head ``cosine-softmax``: its loss and more.

    Attributes:
        temperature: divisor of the cosines.
        projection: put a linear layer between the backbone and the scores. Without it a backbone
            with residual connections gives the highest scores to the items it has just read.
    """

    temperature: float = 0.05
    projection: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("temperature", self.temperature, 1e-4)


@dataclass
class CrossEntropyConfig:
    """Settings of the loss ``cross-entropy``.

    Attributes:
        label_smoothing: share of the target's weight that is spread evenly over all rows of the
            item table.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_range("label_smoothing", self.label_smoothing, 0.0, 1.0)


@dataclass
class NegativesConfig:
    """Settings of the losses ``bce`` and ``bpr``, which draw negatives uniformly from all items.

    Attributes:
        negatives: number of negatives of each target; never the target itself.
    """

    negatives: int = 256

    def __post_init__(self) -> None:
        check_range("negatives", self.negatives, 1)


@dataclass
class SampledSoftmaxConfig(NegativesConfig):
    """Settings of the loss ``sampled-softmax``.

    HSTU's loss is ``share="row", correction="none"`` with 128 negatives, that of eSASRec the same
    with ``mask_target=False`` and 256 negatives.

    Attributes:
        negatives: number of negatives K, drawn uniformly from all V items with replacement.
        share: ``batch`` draws one set for all targets of a batch, ``row`` one for each target.
        correction: ``logq`` adds log(V / K) to the scores of the negatives, so that the loss
            approximates the full softmax; ``none`` leaves them as they are.
        mask_target: leave out negatives that equal the target.
    """

    share: str = "batch"
    correction: str = "logq"
    mask_target: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("share", self.share, ("batch", "row"))
        check_choice("correction", self.correction, ("logq", "none"))


@dataclass
class GeneralisedBceConfig(NegativesConfig):
    """Settings of the loss ``gbce``.

    Attributes:
        negatives: number of negatives k of each target; never the target itself.
        calibration: t of the paper: 0 is BCE, 1 is fully calibrated.
        balanced_start: add the constant log(beta / k) to all scores in the loss. It is the score at
            which the loss of a model without any knowledge is lowest; rankings do not depend on
            it. Without it (the authors' loss) an untrained model scores all items zero, where the
            negatives' gradients are k times too large, and Adam needs many thousands of steps to
            recover from them.
    """

    calibration: float = 0.75
    balanced_start: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("calibration", self.calibration, 0.0, 1.0, closed=True)


@dataclass
class NextItemConfig:
    """Settings of the objectives ``next-item`` and ``next-item-last``: none."""


@dataclass
class MaskedItemConfig:
    """Settings of the objective ``masked-item``.

    Attributes:
        mask_ratio: share of a window's items that are hidden, at least one item.
        mask_newest_ratio: share of the windows in which only the newest item is hidden.
        drop_oldest: for a recommendation, leave out the oldest event of every history, not only
            where the hidden event needs its place. RecBole's BERT4Rec does.
    """

    mask_ratio: float = 0.2
    mask_newest_ratio: float = 0.1
    drop_oldest: bool = False

    def __post_init__(self) -> None:
        for name in ("mask_ratio", "mask_newest_ratio"):
            check_range(name, getattr(self, name), 0.0, 1.0, closed=True)


@dataclass
class ContrastiveConfig:
    """Settings that contrastive objectives share.

    Attributes:
        main_objective: name of a registered objective, whose loss the contrastive term is added to.
        main_options: settings of that objective.
        contrast_weight: factor of the contrastive term.
        contrast_temperature: divisor of the similarities.
        contrast_similarity: ``dot`` product or ``cosine``.
    """

    main_objective: str = "next-item"
    main_options: dict[str, Any] = field(default_factory=dict)
    contrast_weight: float = 0.1
    contrast_temperature: float = 1.0
    contrast_similarity: str = "dot"

    def __post_init__(self) -> None:
        check_range("contrast_weight", self.contrast_weight, 0.0)
        check_range("contrast_temperature", self.contrast_temperature, 1e-4)
        check_choice("contrast_similarity", self.contrast_similarity, ("dot", "cosine"))


@dataclass
class Cl4SRecConfig(ContrastiveConfig):
    """Settings of the objective ``cl4srec``.

    Attributes:
        crop_ratio: share of a history that a cropped view keeps.
        hide_ratio: share of the items that a masked view hides.
        reorder_ratio: share of a history that is shuffled in a reordered view.
    """

    crop_ratio: float = 0.6
    hide_ratio: float = 0.3
    reorder_ratio: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("crop_ratio", "hide_ratio", "reorder_ratio"):
            check_range(name, getattr(self, name), 0.0, 1.0, closed=True)
