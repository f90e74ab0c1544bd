"""BSARec and FMLP-Rec against the published equations in float64, with a Fourier transform.

Histories are padded on the left here, as in the published code, and attention has its additive
mask.
"""

import math

import pytest
import torch
from torch import Tensor

from seqzoo.interfaces import SequenceBatch

Parameters = dict[str, Tensor]
LENGTHS = torch.tensor([19, 1, 2, 11])
KINDS = [
    ("fmlp", {"max_length": 20}),
    ("fmlp", {"max_length": 19, "num_layers": 1}),
    ("bsarec", {"max_length": 20}),
    ("bsarec", {"max_length": 19, "num_layers": 3, "num_heads": 1, "alpha": 0.7, "cutoff": 5}),
    # All frequencies of 20 slots pass up to the tenth.
    ("bsarec", {"max_length": 20, "num_layers": 1, "alpha": 0.3, "cutoff": 19}),
    ("bsarec", {"max_length": 20, "num_layers": 1, "cutoff": 1}),
]
kinds = pytest.mark.parametrize(("architecture", "settings"), KINDS)


def norm(values: Tensor, p: Parameters, prefix: str) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-12) * p[prefix + "weight"] + p[prefix + "bias"]


def linear(values: Tensor, p: Parameters, prefix: str) -> Tensor:
    return values @ p[prefix + "weight"].T + p[prefix + "bias"]


def transformed(hidden: Tensor) -> Tensor:
    return torch.fft.rfft(hidden, dim=1, norm="ortho")


def restored(spectrum: Tensor, slots: int) -> Tensor:
    return torch.fft.irfft(spectrum, n=slots, dim=1, norm="ortho")


def attention(hidden: Tensor, filled: Tensor, heads: int, p: Parameters, prefix: str) -> Tensor:
    """One history [M, D], with the published code's additive mask."""
    query, key, value = (linear(hidden, p, f"{prefix}{n}.") for n in ("query", "key", "value"))
    slots, width = hidden.shape
    keep = filled[None, :] & torch.ones(slots, slots, dtype=torch.bool).tril()
    mixed = []
    for part in torch.arange(width).chunk(heads):
        scores = query[:, part] @ key[:, part].T / math.sqrt(len(part)) - 10_000.0 * ~keep
        weights = torch.exp(scores - scores.max(-1, keepdim=True).values)
        mixed.append(weights / weights.sum(-1, keepdim=True) @ value[:, part])
    return torch.cat(mixed, dim=1)


def model(
    batch: SequenceBatch,
    p: Parameters,
    architecture: str,
    max_length: int,
    num_layers: int = 2,
    num_heads: int = 2,
    alpha: float = 0.9,
    cutoff: int = 3,
    drop=lambda values: values,
) -> tuple[Tensor, Tensor]:
    """All slots [B, M, D], and which hold an event [B, M]."""
    rows = []
    for items, length in zip(batch.items, batch.lengths.tolist(), strict=True):
        empty = [p["backbone.slots.padding"]] * (max_length - length)
        events = [p["embedder.item_table"][item] for item in items[:length]]
        rows.append(torch.stack([*empty, *events]))
    filled = torch.arange(max_length) >= max_length - batch.lengths[:, None]
    hidden = torch.stack(rows) + p["backbone.slots.position_table"]
    hidden = drop(norm(hidden, p, "backbone.slots.norm."))
    for i in range(num_layers):
        block = f"backbone.blocks.{i}."
        if architecture == "fmlp":
            spectrum = transformed(hidden) * torch.view_as_complex(p[block + "factors"])
            y = norm(drop(restored(spectrum, max_length)) + hidden, p, block + "norm.")
        else:
            spectrum = transformed(hidden)
            spectrum[:, cutoff // 2 + 1 :] = 0
            low = restored(spectrum, max_length)
            filtered = low + p[block + "filter.sqrt_beta"] ** 2 * (hidden - low)
            filtered = norm(drop(filtered) + hidden, p, block + "filter.norm.")
            prefix = block + "attention."
            mixed = torch.stack(
                [
                    attention(row, full, num_heads, p, prefix)
                    for row, full in zip(hidden, filled, strict=True)
                ]
            )
            mixed = drop(linear(mixed, p, prefix + "dense."))
            y = alpha * filtered + (1 - alpha) * norm(mixed + hidden, p, prefix + "norm.")
        inner = linear(y, p, block + "feed_forward.dense_1.")
        inner = 0.5 * inner * (1.0 + torch.erf(inner / math.sqrt(2.0)))
        outer = drop(linear(inner, p, block + "feed_forward.dense_2."))
        hidden = norm(outer + y, p, block + "feed_forward.norm.")
    return hidden, filled


def some_batch(width: int = 19) -> SequenceBatch:
    items = torch.randint(1, 31, (4, width), generator=torch.manual_seed(1))
    items[torch.arange(width) >= LENGTHS[:, None]] = 0
    return SequenceBatch(items, LENGTHS)


def copies(module: torch.nn.Module) -> Parameters:
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in module.named_parameters()
    }


@kinds
def test_vectors_with_gradients_of_every_parameter(architecture, settings, make, shake, compare):
    ours = shake(make(architecture, inner_size=24, **settings)).eval()
    theirs = copies(ours)
    batch = some_batch()
    expected, filled = model(batch, theirs, architecture, **settings)
    got = ours(batch)[batch.mask]
    named = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    # The additive mask of 10,000 costs four digits.
    compare(expected[filled], got, named, tolerance=1e-9)


@kinds
def test_newest_event_with_gradients(architecture, settings, make, shake, compare):
    ours = shake(make(architecture, inner_size=24, **settings)).eval()
    theirs = copies(ours)
    batch = some_batch()
    expected, _ = model(batch, theirs, architecture, **settings)
    named = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    compare(expected[:, -1], ours.last(batch), named, tolerance=1e-9)


@kinds
def test_dropout_is_where_the_published_code_has_it(
    architecture, settings, make, shake, compare, patterned_dropout
):
    own = {"attention_dropout": 0.0} if architecture == "bsarec" else {}
    ours = shake(make(architecture, inner_size=24, **own, **settings))
    theirs = copies(ours)
    batch = some_batch()
    expected, filled = model(batch, theirs, architecture, drop=patterned_dropout, **settings)
    named = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    compare(expected[filled], ours(batch)[batch.mask], named, tolerance=1e-9)
