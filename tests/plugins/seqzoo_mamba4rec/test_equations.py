"""Mamba4Rec against its equations (arXiv 2403.03900 and published code), in float64."""

import math

import pytest
import torch
from seqzoo_mamba4rec.mamba import MambaBlock
from torch import Tensor

from seqzoo.interfaces import SequenceBatch

Parameters = dict[str, Tensor]


def silu(values: Tensor) -> Tensor:
    return values / (1.0 + torch.exp(-values))


def gelu(values: Tensor) -> Tensor:
    return 0.5 * values * (1.0 + torch.erf(values / math.sqrt(2.0)))


def norm(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-12) * weight + bias


def mamba(inputs: Tensor, p: Parameters, prefix: str = "") -> Tensor:
    """Rows and positions one after the other: [B, L, D] -> [B, L, D]."""
    conv, conv_bias = p[prefix + "conv1d.weight"], p[prefix + "conv1d.bias"]
    rates = -torch.exp(p[prefix + "A_log"])
    inner, states = rates.shape
    rank = p[prefix + "dt_proj.weight"].shape[1]
    taps = conv.shape[-1]
    rows = []
    for row in inputs:
        both = row @ p[prefix + "in_proj.weight"].T
        x, gate = both[:, :inner], both[:, inner:]
        state = torch.zeros_like(rates)
        outputs = []
        for t in range(len(row)):
            mixed = conv_bias
            for tap in range(taps):
                earlier = t - (taps - 1) + tap
                if earlier >= 0:
                    mixed = mixed + conv[:, 0, tap] * x[earlier]
            mixed = silu(mixed)
            projected = p[prefix + "x_proj.weight"] @ mixed
            delta, write = projected[:rank], projected[rank : rank + states]
            read = projected[rank + states :]
            delta = p[prefix + "dt_proj.weight"] @ delta + p[prefix + "dt_proj.bias"]
            step = torch.log1p(torch.exp(delta))
            state = torch.exp(step[:, None] * rates) * state + torch.outer(step * mixed, write)
            y = state @ read + p[prefix + "D"] * mixed
            outputs.append(p[prefix + "out_proj.weight"] @ (y * silu(gate[t])))
        rows.append(torch.stack(outputs))
    return torch.stack(rows)


def backbone(hidden: Tensor, p: Parameters, layers: int, drop=lambda values: values) -> Tensor:
    for i in range(layers):
        layer = f"backbone.layers.{i}."
        mixed = drop(mamba(hidden, p, layer + "mamba."))
        if layers > 1:
            mixed = mixed + hidden
        y = norm(mixed, p[layer + "norm.weight"], p[layer + "norm.bias"])
        inner = drop(gelu(y @ p[layer + "ffn.w_1.weight"].T + p[layer + "ffn.w_1.bias"]))
        outer = drop(inner @ p[layer + "ffn.w_2.weight"].T + p[layer + "ffn.w_2.bias"])
        hidden = norm(outer + y, p[layer + "ffn.norm.weight"], p[layer + "ffn.norm.bias"])
    return hidden


def model(items: Tensor, p: Parameters, layers: int, drop=lambda values: values) -> Tensor:
    embedded = drop(p["embedder.item_table"][items])
    embedded = norm(embedded, p["embedder.norm.weight"], p["embedder.norm.bias"])
    return backbone(embedded, p, layers, drop)


def copies(module: torch.nn.Module) -> Parameters:
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in module.named_parameters()
    }


def pairs(theirs: Parameters, module: torch.nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    return {name: (theirs[name], ours) for name, ours in module.named_parameters()}


@pytest.mark.parametrize("sizes", [(20, 5, 4, 2), (16, 3, 1, 1), (33, 4, 3, 2)])
def test_block_with_gradients_of_every_parameter(sizes, shake, compare):
    """Widths with rank 1, 2 and 3 of the step size, and 4, 1 and 3 taps."""
    block = shake(MambaBlock(*sizes))
    assert block.rank == math.ceil(sizes[0] / 16)
    theirs = copies(block)
    inputs = torch.randn(3, 23, sizes[0], dtype=torch.float64, generator=torch.manual_seed(1))
    given = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
    compare(mamba(given[0], theirs), block(given[1]), {**pairs(theirs, block), "the input": given})


def test_block_at_the_newest_event(shake):
    block = shake(MambaBlock(20, 5, 4, 2))
    inputs = torch.randn(5, 70, 20, dtype=torch.float64, generator=torch.manual_seed(1))
    lengths = torch.tensor([70, 1, 2, 3, 66])
    batch = SequenceBatch(torch.ones(5, 70, dtype=torch.int64), lengths)
    expected = mamba(inputs, copies(block))[torch.arange(5), lengths - 1]
    with torch.inference_mode():
        got = block.last(inputs, batch)
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_model_with_gradients_of_every_parameter(layers, make, shake, compare):
    """Several layers have a residual around each Mamba block, a single one has none."""
    ours = shake(make("mamba4rec", num_layers=layers, state_size=5)).eval()
    theirs = copies(ours)
    items = torch.randint(1, 31, (3, 19), generator=torch.manual_seed(1))
    expected = model(items, theirs, layers) @ theirs["embedder.item_table"].T
    got = ours.head(ours(SequenceBatch(items, torch.full((3,), 19))))
    assert got.shape == (3, 19, 31)
    compare(expected, got, pairs(theirs, ours))


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 31, 200])
def test_every_length_alone_and_among_others(length, rows, make, shake, compare):
    ours = shake(make("mamba4rec", num_layers=2, state_size=5)).eval()
    theirs = copies(ours)
    draw = torch.Generator().manual_seed(length)
    lengths = torch.randint(1, length + 1, (rows,), generator=draw)
    lengths[0] = length
    items = torch.randint(1, 31, (rows, length), generator=draw)
    batch = SequenceBatch(items.masked_fill(torch.arange(length) >= lengths[:, None], 0), lengths)
    expected, got = model(batch.items, theirs, 2), ours(batch)
    named = pairs(theirs, ours)
    if length == 1:
        # Without a state before it, how fast states decay has no gradient.
        named = {name: pair for name, pair in named.items() if not name.endswith("A_log")}
    compare(expected[batch.mask], got[batch.mask], named)


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_is_where_the_published_code_has_it(
    layers, make, shake, compare, patterned_dropout
):
    """Before the embedding's LayerNorm, after the Mamba block, twice in the feed-forward layer."""
    ours = shake(make("mamba4rec", num_layers=layers))
    theirs = copies(ours)
    items = torch.randint(1, 31, (2, 11), generator=torch.manual_seed(1))
    compare(
        model(items, theirs, layers, patterned_dropout),
        ours(SequenceBatch(items, torch.full((2,), 11))),
        pairs(theirs, ours),
    )
