"""SASRec, as in RecBole, against plain attention in float64."""

import math

import pytest
import torch
from torch import Tensor

from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch

Parameters = dict[str, Tensor]
LENGTHS = torch.tensor([19, 1, 2, 11])


def norm(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-12) * weight + bias


def attention(hidden: Tensor, length: int, heads: int, linear) -> Tensor:
    """One row [L, D]: a loop over heads, an additive mask, a softmax that is written out."""
    query, key, value = linear("query", hidden), linear("key", hidden), linear("value", hidden)
    width = hidden.shape[1] // heads
    position = torch.arange(len(hidden))
    hides = (position[None, :] > position[:, None]) | (position[None, :] >= length)
    mixed = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = query[:, part] @ key[:, part].T / math.sqrt(width) - 10_000.0 * hides
        weights = torch.exp(scores - scores.max(-1, keepdim=True).values)
        mixed.append(weights / weights.sum(-1, keepdim=True) @ value[:, part])
    return torch.cat(mixed, dim=1)


def model(
    batch: SequenceBatch, p: Parameters, layers: int, heads: int, drop=lambda values: values
) -> Tensor:
    hidden = p["embedder.item_table"][batch.items]
    hidden = hidden + p["embedder.position_table"][: hidden.shape[1]]
    hidden = drop(norm(hidden, p["embedder.norm.weight"], p["embedder.norm.bias"]))
    for i in range(layers):
        for_attention = f"backbone.layers.{i}.attention."
        for_feed = f"backbone.layers.{i}.feed_forward."

        def linear(name: str, values: Tensor, prefix: str = for_attention) -> Tensor:
            return values @ p[f"{prefix}{name}.weight"].T + p[f"{prefix}{name}.bias"]

        mixed = torch.stack(
            [
                attention(row, length, heads, linear)
                for row, length in zip(hidden, batch.lengths.tolist(), strict=True)
            ]
        )
        y = norm(
            drop(linear("dense", mixed)) + hidden,
            p[for_attention + "norm.weight"],
            p[for_attention + "norm.bias"],
        )
        inner = linear("dense_1", y, for_feed)
        inner = 0.5 * inner * (1.0 + torch.erf(inner / math.sqrt(2.0)))
        hidden = norm(
            drop(linear("dense_2", inner, for_feed)) + y,
            p[for_feed + "norm.weight"],
            p[for_feed + "norm.bias"],
        )
    return hidden


def some_batch(width: int = 19) -> SequenceBatch:
    items = torch.randint(1, 31, (4, width), generator=torch.manual_seed(1))
    items[torch.arange(width) >= LENGTHS[:, None]] = 0
    return SequenceBatch(items, LENGTHS)


def copies(module: torch.nn.Module) -> Parameters:
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in module.named_parameters()
    }


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 2), (3, 8)])
def test_scores_with_gradients_of_every_parameter(layers, heads, make, shake, compare):
    ours = shake(make("sasrec", num_layers=layers, num_heads=heads, inner_size=24)).eval()
    theirs = copies(ours)
    batch = some_batch()
    # Values at padding have no meaning.
    expected = (model(batch, theirs, layers, heads) @ theirs["embedder.item_table"].T)[batch.mask]
    got = ours.head(ours(batch))[batch.mask]
    compare(expected, got, {name: (theirs[name], value) for name, value in ours.named_parameters()})


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 31, 200])
def test_every_length_alone_and_among_others(length, rows, make, shake, compare):
    ours = shake(make("sasrec", max_length=200, num_layers=2, inner_size=24)).eval()
    theirs = copies(ours)
    draw = torch.Generator().manual_seed(length)
    lengths = torch.randint(1, length + 1, (rows,), generator=draw)
    lengths[0] = length
    items = torch.randint(1, 31, (rows, length), generator=draw)
    batch = SequenceBatch(items.masked_fill(torch.arange(length) >= lengths[:, None], 0), lengths)
    named = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    # A softmax does not see what all scores share, so the bias of keys gets rounding alone.
    named = {name: pair for name, pair in named.items() if not name.endswith("key.bias")}
    if length == 1:
        named = {n: pair for n, pair in named.items() if ".query." not in n and ".key." not in n}
    compare(model(batch, theirs, 2, 2)[batch.mask], ours(batch)[batch.mask], named)


def test_newest_event(make, shake):
    ours = shake(make("sasrec", num_layers=2, num_heads=4)).eval()
    batch = some_batch()
    expected = model(batch, copies(ours), 2, 4)[torch.arange(4), LENGTHS - 1]
    torch.testing.assert_close(ours.last(batch), expected, rtol=1e-11, atol=1e-11)


def test_dropout_is_where_the_published_code_has_it(make, shake, compare, patterned_dropout):
    """After the embedding's LayerNorm, after attention, after the feed-forward layer."""
    ours = shake(make("sasrec", attention_dropout=0.0))
    theirs = copies(ours)
    batch = some_batch()
    compare(
        model(batch, theirs, 2, 2, patterned_dropout)[batch.mask],
        ours(batch)[batch.mask],
        {name: (theirs[name], value) for name, value in ours.named_parameters()},
    )


@pytest.mark.parametrize("training", [True, False])
def test_attention_dropout_is_for_training(make, attention_dropouts, training):
    model = make("sasrec", attention_dropout=0.25, dropout=0.5).train(training)
    model(some_batch())
    model.last(some_batch())
    # In evaluation mode the newest event's own attention is written out, without dropout.
    assert attention_dropouts == ([0.25] * 4 if training else [0.0] * 3)


def test_names_and_shapes(make):
    expected = {
        "embedder.item_table": (31, 64),
        "embedder.position_table": (50, 64),
        "embedder.norm.weight": (64,),
        "embedder.norm.bias": (64,),
    }
    for layer in ("backbone.layers.0.", "backbone.layers.1."):
        for name in ("query", "key", "value", "dense"):
            expected[f"{layer}attention.{name}.weight"] = (64, 64)
            expected[f"{layer}attention.{name}.bias"] = (64,)
        expected |= {
            f"{layer}feed_forward.dense_1.weight": (256, 64),
            f"{layer}feed_forward.dense_1.bias": (256,),
            f"{layer}feed_forward.dense_2.weight": (64, 256),
            f"{layer}feed_forward.dense_2.bias": (64,),
        }
        for part in ("attention", "feed_forward"):
            for kind in ("weight", "bias"):
                expected[f"{layer}{part}.norm.{kind}"] = (64,)
    model = make("sasrec", hidden_size=64, max_length=50)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == expected


def test_first_values(make):
    model = make("sasrec", hidden_size=64, max_length=200)
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            assert not value.any()
        elif "norm" in name:
            assert torch.equal(value, torch.ones_like(value))
        else:
            # 1,984 draws at least: the standard deviation is known to 1.6 %.
            assert 0.0187 < value.std() < 0.0213, name
    assert model.embedder.item_table[0].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 3}, "hidden_size is 16, which is not a multiple of num_heads = 3"),
        ({"num_heads": 0}, "'num_heads' is 0"),
        ({"inner_size": 0}, "'inner_size' is 0"),
        ({"attention_dropout": 1.0}, r"'attention_dropout' is 1\.0"),
        ({"num_head": 2}, "'model.num_head'; did you mean 'model.num_heads'"),
    ],
)
def test_wrong_settings(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make("sasrec", **settings)


def test_more_events_than_positions(make):
    items = torch.ones(1, 21, dtype=torch.int64)
    with pytest.raises(ConfigError, match="a history of 21 events is longer than max_length = 20"):
        make("sasrec")(SequenceBatch(items, torch.tensor([21])))
