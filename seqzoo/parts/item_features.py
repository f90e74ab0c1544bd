"""Embedders that sum the vector of an item's id and those of its features."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from seqzoo.parts.config import ItemFeaturesConfig, ItemFeaturesPositionConfig
from seqzoo.parts.embedders import NormalisedEmbedder, PositionEmbedder, initialise
from seqzoo.parts.feature_codes import codes_of
from seqzoo.parts.layers import INITIAL_STD

if TYPE_CHECKING:
    from seqzoo.data.item_table import FeatureColumn, ItemTable
    from seqzoo.data.vocabulary import Vocabulary

__all__ = [
    "ItemFeaturesEmbedder",
    "ItemFeaturesPositionEmbedder",
]

_KNOTS = 8
"""Points between which a number's vector is interpolated."""
_FARTHEST = 2.5
"""The outermost points, in standard deviations from the mean."""
_Pairs: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Indices of rows [C], a weight for each [C], and the position of the first one of each sum."""
_CODED = ("text", "category", "categories")


class _Sums(torch.autograd.Function):
    """Weighted sums of the code vectors of each item.

    The gradient of a code's vector is the weighted sum of those of its items, so it is computed in
    the same way: on a CPU several times faster than the backward pass of ``embedding_bag``.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, of_items: _Pairs, of_codes: _Pairs) -> Tensor:
        """Sums [V + 1, D] of the rows of the table [codes, D]."""
        ctx.of_codes = of_codes
        return _sums(table, of_items)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of the table."""
        return _sums(gradient.contiguous(), ctx.of_codes), None, None


def _sums(rows: Tensor, pairs: _Pairs) -> Tensor:
    indices, weights, starts = pairs
    return nn.functional.embedding_bag(
        indices, rows, starts, mode="sum", per_sample_weights=weights.to(rows.dtype)
    )


class ItemFeaturesEmbedder(NormalisedEmbedder):
    """The sum of an item's own vector and the vectors of its features.

    A word, a part of a word or a category has a learned vector (see ``feature_codes.py``); a number
    is interpolated between learned vectors at fixed distances from the mean; a given vector is
    mapped linearly. In training an item's own vector is left out at random, so that an item without
    events, whose own vector is zero, is scored by its features (as in DropoutNet, Volkovs et al.
    2017).
    """

    uses_item_features = True
    codes: Tensor
    code_counts: Tensor
    code_weights: Tensor
    code_starts: Tensor
    owners: Tensor
    owner_weights: Tensor
    owner_starts: Tensor
    number_scale: Tensor
    numbers: Tensor
    numbers_present: Tensor
    vectors: Tensor

    def __init__(self, config: ItemFeaturesConfig, num_items: int) -> None:
        super().__init__()
        self.config = config
        self.id_table = nn.Parameter(torch.empty(num_items + 1, config.hidden_size))
        initialise(self.id_table, config)
        self.add_norm(config)
        self._cached: tuple[Any, Tensor] | None = None

    def fit(self, vocabulary: "Vocabulary", item_table: "ItemTable | None") -> None:
        """Make the weights of the features, and keep what they are computed from."""
        columns = () if item_table is None else item_table.columns
        coded = [column for column in columns if column.kind in _CODED]
        codes, weights, starts = codes_of(coded, self.config.feature_codes, self.config.ngram_sizes)
        self.has_codes = bool(coded)
        if self.has_codes:
            self.code_table = nn.Parameter(
                torch.empty(self.config.feature_codes, self.config.hidden_size)
            )
            nn.init.normal_(self.code_table, 0.0, INITIAL_STD)
            # In the weights: what counts does not change when items are added.
            items_of_code = np.bincount(codes, minlength=self.config.feature_codes)
            counts_at_all = items_of_code >= self.config.feature_min_items
            self.register_buffer("code_counts", torch.from_numpy(counts_at_all))
            self._keep("codes", torch.from_numpy(codes))
            self._keep("code_weights", torch.from_numpy(weights))
            self._keep("code_starts", torch.from_numpy(starts))
            # The same pairs by code, for the gradient.
            counts = np.diff(starts, append=len(codes))
            order = np.argsort(codes, kind="stable")
            owners = np.repeat(np.arange(len(starts)), counts)[order]
            firsts = np.searchsorted(codes[order], np.arange(self.config.feature_codes))
            self._keep("owners", torch.from_numpy(owners))
            self._keep("owner_weights", torch.from_numpy(weights[order]))
            self._keep("owner_starts", torch.from_numpy(firsts))
        self._fit_numbers([column for column in columns if column.kind == "number"])
        vectors = [column for column in columns if column.kind == "vector"]
        self.has_vectors = bool(vectors)
        if vectors:
            given = np.concatenate([np.asarray(column.values) for column in vectors], axis=1)
            self._keep("vectors", _with_padding(given))
            self.vector_map = nn.Linear(given.shape[1], self.config.hidden_size, bias=False)
            nn.init.normal_(self.vector_map.weight, 0.0, INITIAL_STD)

    def _fit_numbers(self, numbers: "list[FeatureColumn]") -> None:
        self.has_numbers = bool(numbers)
        if not numbers:
            return
        values = np.stack([np.asarray(column.values) for column in numbers], axis=1)
        present = ~np.isnan(values)
        known = np.where(present, values, 0.0)
        count = np.maximum(present.sum(0), 1)
        mean = known.sum(0) / count
        spread = np.sqrt((np.where(present, values - mean, 0.0) ** 2).sum(0) / count)
        # In the weights: items that are added later are measured by the same scale.
        scale = np.stack([mean, np.where(spread > 0, spread, 1.0)])
        self.register_buffer("number_scale", torch.from_numpy(scale))
        self._keep("numbers", _with_padding(known))
        self._keep("numbers_present", _with_padding(present))
        self.number_table = nn.Parameter(
            torch.empty(len(numbers) * _KNOTS, self.config.hidden_size)
        )
        nn.init.normal_(self.number_table, 0.0, INITIAL_STD)

    def _keep(self, name: str, values: Tensor) -> None:
        """A buffer that is not part of the weights: the item features give it."""
        self.register_buffer(name, values, persistent=False)

    def add_items(self, known: int) -> None:
        """New items have no vector of their own: they are scored by their features."""
        with torch.no_grad():
            self.id_table[known + 1 :] = 0

    @property
    def item_table(self) -> Tensor:  # type: ignore[override]
        """One vector per item [V + 1, D]; computed again only if a weight has changed."""
        if torch.is_grad_enabled() or self.training:
            return self._table()
        weights = [*self.parameters(), *self.buffers()]
        state = tuple((each.data_ptr(), each._version) for each in weights)
        cached = self._cached
        if cached is None or cached[0] != state:
            # A tensor that is made in inference mode could not be used outside of it.
            with torch.inference_mode(mode=False), torch.no_grad():
                cached = self._cached = (state, self._table())
        return cached[1]

    def _table(self) -> Tensor:
        own: Tensor = self.id_table
        if self.training and self.config.id_dropout:
            kept = torch.rand(len(own), 1, device=own.device) >= self.config.id_dropout
            own = own * kept
        return own + self._features()

    def _features(self) -> Tensor:
        """The sum of the vectors of the features of each item [V + 1, D]."""
        total = torch.zeros_like(self.id_table)
        if self.has_codes:
            of_items = (self.codes, self.code_weights, self.code_starts)
            of_codes = (self.owners, self.owner_weights, self.owner_starts)
            table = self.code_table * self.code_counts[:, None]
            total = total + _Sums.apply(table, of_items, of_codes)  # type: ignore[no-untyped-call]
        if self.has_numbers:
            total = total + self._interpolated().to(total.dtype) @ self.number_table
        if self.has_vectors:
            total = total + self.vector_map(self.vectors.to(total.dtype))
        return total

    def _interpolated(self) -> Tensor:
        """Weights of each number's interpolation points [V + 1, N * points]; 0 where it is missing.

        Only the two points around a number have a weight above 0, and these add up to 1. Beyond the
        outermost point, that point has weight 1.
        """
        mean, spread = self.number_scale
        scaled = ((self.numbers - mean) / spread).clamp(-_FARTHEST, _FARTHEST)
        step = 2 * _FARTHEST / (_KNOTS - 1)
        points = torch.linspace(
            -_FARTHEST, _FARTHEST, _KNOTS, dtype=scaled.dtype, device=scaled.device
        )
        weights: Tensor = (1 - (scaled[..., None] - points).abs() / step).clamp_min(0)
        weights = weights * self.numbers_present[..., None]
        return weights.flatten(1)


class ItemFeaturesPositionEmbedder(PositionEmbedder, ItemFeaturesEmbedder):
    """``item-features`` plus learned absolute positions, as ``item-position`` has them."""

    def __init__(self, config: ItemFeaturesPositionConfig, num_items: int) -> None:
        super().__init__(config, num_items)
        self.add_positions(config)


def _with_padding(values: Any) -> Tensor:
    """Rows of items as a tensor, with a row of zeros for padding before them."""
    rows = torch.from_numpy(np.ascontiguousarray(values))
    return torch.cat([torch.zeros_like(rows[:1]), rows])
