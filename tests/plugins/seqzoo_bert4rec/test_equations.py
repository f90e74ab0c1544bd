"""BERT4Rec against its equations in float64: loops over histories, heads and positions."""

import math

import pytest
import torch
from torch import Tensor

from seqzoo.interfaces import MASK, SequenceBatch

Parameters = dict[str, Tensor]
LENGTHS = torch.tensor([19, 1, 2, 11])


def norm(values: Tensor, p: Parameters, name: str) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-12) * p[name + ".weight"] + p[name + ".bias"]


def linear(values: Tensor, p: Parameters, name: str) -> Tensor:
    return values @ p[name + ".weight"].T + p[name + ".bias"]


def gelu(values: Tensor) -> Tensor:
    return 0.5 * values * (1.0 + torch.erf(values / math.sqrt(2.0)))


def attention(hidden: Tensor, p: Parameters, layer: str, heads: int) -> Tensor:
    """Of one history without padding [n, D]: every event reads all events."""
    query, key, value = (linear(hidden, p, layer + name) for name in ("query", "key", "value"))
    width = hidden.shape[1] // heads
    rows = []
    for t in range(len(hidden)):
        mixed = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            weights = (key[:, part] @ query[t, part] / math.sqrt(width)).exp()
            mixed.append(weights @ value[:, part] / weights.sum())
        rows.append(torch.cat(mixed))
    return linear(torch.stack(rows), p, layer + "dense")


def history(
    items: Tensor, p: Parameters, layers: int, heads: int, drop=lambda values: values
) -> Tensor:
    """The vectors of one history [n, D], at every event."""
    vectors = []
    for position, item in enumerate(items.tolist()):
        own = p["embedder.mask_vector"] if item == MASK else p["embedder.item_table"][item]
        vectors.append(own + p["embedder.position_table"][position])
    hidden = drop(norm(torch.stack(vectors), p, "embedder.norm"))
    for i in range(layers):
        layer = f"backbone.layers.{i}."
        mixed = attention(hidden, p, layer, heads)
        hidden = norm(drop(mixed) + hidden, p, layer + "attention_norm")
        inner = linear(gelu(linear(hidden, p, layer + "inner")), p, layer + "outer")
        hidden = norm(drop(inner) + hidden, p, layer + "norm")
    return norm(gelu(linear(hidden, p, "backbone.transform")), p, "backbone.norm")


def some_batch(width: int = 19, lengths: Tensor = LENGTHS) -> SequenceBatch:
    """Random histories, some of whose events are hidden."""
    draw = torch.Generator().manual_seed(1)
    items = torch.randint(1, 31, (len(lengths), width), generator=draw)
    items[torch.rand(items.shape, generator=draw) < 0.2] = MASK
    items[0, 0] = MASK
    return SequenceBatch(items.masked_fill(torch.arange(width) >= lengths[:, None], 0), lengths)


def copies(module: torch.nn.Module) -> Parameters:
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in module.named_parameters()
    }


def seen(named: dict, batch: SequenceBatch) -> dict:
    """Without parameters whose gradient is zero, where only rounding would be compared."""
    # A softmax does not see what all scores share.
    left_out = ["key.bias"]
    if int(batch.lengths.max()) == 1:
        left_out += ["query.", "key."]
    return {n: pair for n, pair in named.items() if not any(part in n for part in left_out)}


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 2), (3, 8)])
def test_scores_with_gradients_of_every_parameter(layers, heads, make, shake, compare):
    ours = shake(make("bert4rec", num_layers=layers, num_heads=heads, inner_size=24)).eval()
    theirs, batch = copies(ours), some_batch()
    rows = [
        history(items[:length], theirs, layers, heads)
        for items, length in zip(batch.items, batch.lengths, strict=True)
    ]
    expected = torch.cat(rows) @ theirs["embedder.item_table"].T + theirs["head.bias"]
    got = ours.head(ours(batch)[batch.mask])
    named = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    compare(expected, got, seen(named, batch))


@pytest.mark.parametrize("length", [1, 2, 31, 200])
def test_every_length_alone_and_among_others(length, make, shake, compare):
    ours = shake(make("bert4rec", max_length=200, num_layers=2, inner_size=24)).eval()
    theirs = copies(ours)
    draw = torch.Generator().manual_seed(length)
    lengths = torch.randint(1, length + 1, (3,), generator=draw)
    lengths[0] = length
    batch = some_batch(length, lengths)

    def newest() -> Tensor:
        pairs = zip(batch.items, batch.lengths, strict=True)
        return torch.stack([history(items[:n], theirs, 2, 2)[-1] for items, n in pairs])

    named = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    named = {name: pair for name, pair in seen(named, batch).items() if name != "head.bias"}
    compare(newest(), ours.last(batch), named)
    compare(newest(), batch.gather_last(ours(batch)), named)


def test_the_loss_reads_the_hidden_events_alone(make, shake):
    """Mean cross-entropy over the hidden items, by the definition."""
    ours = shake(make("bert4rec", num_layers=1)).eval()
    theirs, batch = copies(ours), some_batch()
    asked = batch.items == MASK
    targets = torch.where(asked, torch.arange(batch.items.numel()).view_as(asked) % 30 + 1, 0)
    losses = []
    for items, wanted, length in zip(batch.items, targets, batch.lengths, strict=True):
        vectors = history(items[:length], theirs, 1, 2)
        for vector, target in zip(vectors, wanted[:length].tolist(), strict=True):
            if target:
                scores = theirs["embedder.item_table"] @ vector + theirs["head.bias"]
                losses.append(scores.logsumexp(0) - scores[target])
    found = ours.head.loss(ours(batch)[targets > 0], targets[targets > 0])
    assert len(losses) == int(asked.sum())
    torch.testing.assert_close(found, torch.stack(losses).mean(), rtol=1e-11, atol=1e-11)


def test_dropout_is_where_the_published_code_has_it(make, shake, compare, patterned_dropout):
    """After the embedding's LayerNorm, after attention, after the feed-forward layer."""
    ours = shake(make("bert4rec", attention_dropout=0.0))
    theirs = copies(ours)
    # One history, as the pattern of dropout depends on the shape.
    batch = some_batch(11, torch.tensor([11]))
    expected = history(batch.items[0], theirs, 2, 2, patterned_dropout)
    named = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    named = {name: pair for name, pair in seen(named, batch).items() if name != "head.bias"}
    compare(expected, ours(batch)[0], named)


@pytest.mark.parametrize("training", [True, False])
def test_attention_dropout_is_for_training(make, attention_dropouts, training):
    model = make("bert4rec", attention_dropout=0.25, dropout=0.5).train(training)
    model(some_batch())
    model.last(some_batch())
    assert attention_dropouts == [0.25 if training else 0.0] * 4


def test_names_shapes_and_count(make):
    expected = {
        "embedder.item_table": (31, 64),
        "embedder.mask_vector": (64,),
        "embedder.position_table": (50, 64),
        "embedder.norm.weight": (64,),
        "embedder.norm.bias": (64,),
        "backbone.transform.weight": (64, 64),
        "backbone.transform.bias": (64,),
        "backbone.norm.weight": (64,),
        "backbone.norm.bias": (64,),
        "head.bias": (31,),
    }
    for layer in ("backbone.layers.0.", "backbone.layers.1."):
        for name in ("query", "key", "value", "dense"):
            expected[f"{layer}{name}.weight"] = (64, 64)
            expected[f"{layer}{name}.bias"] = (64,)
        expected |= {
            f"{layer}inner.weight": (256, 64),
            f"{layer}inner.bias": (256,),
            f"{layer}outer.weight": (64, 256),
            f"{layer}outer.bias": (64,),
        }
        for name in ("attention_norm", "norm"):
            expected |= {f"{layer}{name}.weight": (64,), f"{layer}{name}.bias": (64,)}
    model = make("bert4rec", hidden_size=64, max_length=50)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == expected
    layer = 4 * (64 * 64 + 64) + (64 * 256 + 256) + (256 * 64 + 64) + 4 * 64
    ends = (31 + 1 + 50) * 64 + 2 * 64 + (64 * 64 + 64) + 2 * 64 + 31
    assert model.num_parameters == ends + 2 * layer


def test_first_values(make):
    model = make("bert4rec", hidden_size=64, max_length=200)
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            assert not value.any()
        elif "norm" in name:
            assert torch.equal(value, torch.ones_like(value))
        elif name == "embedder.mask_vector":
            assert 0.01 < value.std() < 0.03
        else:
            # 1,984 draws at least: the standard deviation is known to 1.6 %.
            assert 0.0187 < value.std() < 0.0213, name
