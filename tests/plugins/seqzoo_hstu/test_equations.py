"""HSTU against loops over heads and pairs of positions in float64."""

import math
from dataclasses import replace

import pytest
import torch
from seqzoo_hstu.relations import buckets
from torch import Tensor

from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch


def norm(values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    centred = values - values.mean()
    scaled = centred / torch.sqrt((centred**2).mean() + 1e-6)
    return scaled if weight is None else scaled * weight + bias


def silu(values: Tensor) -> Tensor:
    return values / (1 + torch.exp(-values))


def bucket(seconds: int) -> int:
    exact = math.log(max(abs(seconds), 1)) / 0.301
    assert abs(exact - round(exact)) > 1e-5 or seconds in (-1, 0, 1)
    return min(math.floor(exact), 128)


def asked_at(batch: SequenceBatch, row: int, i: int, mode: str) -> int | None:
    """The time with which position i compares the others."""
    if batch.timestamps is None or mode == "none":
        return None
    if mode == "previous":
        return int(batch.timestamps[row, i])
    if i + 1 < batch.lengths[row]:
        return int(batch.timestamps[row, i + 1])
    return int(batch.query_times[row, i] if batch.query_times is not None else 0)


def one_history(batch, p, row, *, layers, heads, sizes, divisor, mode, drop=lambda values: values):
    """The vectors [n, D] of one history."""
    count = int(batch.lengths[row])
    width = p["embedder.item_table"].shape[1]
    table, places = p["embedder.item_table"], p["embedder.position_table"]
    order = range(count)
    x = [math.sqrt(width) * table[batch.items[row, i]] + places[i] for i in order]
    x = list(drop(torch.stack(x)))
    for number in range(layers):
        own = {
            name.removeprefix(f"backbone.layers.{number}."): value
            for name, value in p.items()
            if name.startswith(f"backbone.layers.{number}.")
        }
        parts = []
        for i in order:
            z = norm(x[i], own.get("norm.weight"), own.get("norm.bias"))
            parts.append(silu(z @ own["uvqk"]).split([sizes[1], sizes[1], sizes[0], sizes[0]]))
        outputs = []
        for i in order:
            asked = asked_at(batch, row, i, mode)
            mixed = []
            for head in range(heads):
                keys = slice(head * sizes[0] // heads, (head + 1) * sizes[0] // heads)
                values = slice(head * sizes[1] // heads, (head + 1) * sizes[1] // heads)
                total = torch.zeros(sizes[1] // heads, dtype=torch.float64)
                for j in range(i + 1):
                    score = (parts[i][2][keys] * parts[j][3][keys]).sum()
                    score = score + own["bias.position_weight"][i - j]
                    if mode != "none":
                        seconds = 0 if asked is None else asked - int(batch.timestamps[row, j])
                        score = score + own["bias.time_weight"][bucket(seconds)]
                    total = total + silu(score) / divisor * parts[j][1][values]
                mixed.append(total)
            normed = norm(
                torch.cat(mixed), own.get("mixed_norm.weight"), own.get("mixed_norm.bias")
            )
            outputs.append(parts[i][0] * normed)
        gated = drop(torch.stack(outputs))
        x = [x[i] + own["output.weight"] @ gated[i] + own["output.bias"] for i in order]
    return torch.stack(x)


def reference(batch: SequenceBatch, p: dict[str, Tensor], **settings: object) -> Tensor:
    """The vectors of all real positions."""
    rows = range(len(batch.lengths))
    return torch.cat([one_history(batch, p, row, **settings) for row in rows])


def copies(module: torch.nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in module.named_parameters()
    }


def pairs(theirs, ours, *, unused=()):
    return {
        name: (theirs[name], value)
        for name, value in ours.named_parameters()
        if not name.endswith(unused)
    }


@pytest.mark.parametrize(
    ("layers", "heads", "sizes", "divisor", "mode", "affine"),
    [
        (1, 1, (8, 8), 0, "next", False),
        (2, 2, (8, 12), 31, "next", False),
        (2, 4, (8, 8), 0, "next", True),
        (2, 2, (8, 8), 0, "previous", False),
        (2, 1, (6, 10), 0, "none", True),
    ],
)
def test_vectors_and_gradients(
    layers, heads, sizes, divisor, mode, affine, make, shake, compare, batch
):
    ours = make(
        "hstu",
        num_layers=layers,
        num_heads=heads,
        query_size=sizes[0],
        value_size=sizes[1],
        divisor=divisor,
        time_mode=mode,
        affine_norm=affine,
    )
    ours = shake(ours).eval()
    theirs = copies(ours)
    expected = reference(
        batch,
        theirs,
        layers=layers,
        heads=heads,
        sizes=sizes,
        divisor=divisor or 20,
        mode=mode,
    )
    compare(expected, ours(batch)[batch.mask], pairs(theirs, ours))
    newest = batch.lengths.cumsum(0) - 1
    torch.testing.assert_close(ours.last(batch), expected[newest], rtol=1e-11, atol=1e-11)


def test_histories_longer_than_a_block(make, shake, compare, timed):
    """Positions are computed 64 at a time; the equations know nothing of that."""
    batch = timed(70, torch.tensor([70, 65]))
    settings = {"num_layers": 1, "query_size": 4, "value_size": 4}
    ours = shake(make("hstu", max_length=70, **settings)).eval()
    theirs = copies(ours)
    expected = reference(batch, theirs, layers=1, heads=1, sizes=(4, 4), divisor=70, mode="next")
    compare(expected, ours(batch)[batch.mask], pairs(theirs, ours))
    torch.testing.assert_close(ours.last(batch), expected[[69, 134]], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("mode", ["next", "previous"])
def test_without_times_all_events_are_simultaneous(make, shake, compare, batch, mode):
    ours = shake(make("hstu", query_size=8, value_size=8, time_mode=mode)).eval()
    theirs = copies(ours)
    bare = replace(batch, timestamps=None, query_times=None)
    expected = reference(bare, theirs, layers=2, heads=1, sizes=(8, 8), divisor=20, mode=mode)
    compare(expected, ours(bare)[batch.mask], pairs(theirs, ours))
    torch.testing.assert_close(
        ours.last(bare), expected[batch.lengths.cumsum(0) - 1], rtol=1e-11, atol=1e-11
    )


def test_without_a_time_of_the_request_it_comes_with_the_newest_event(make, batch):
    ours = make("hstu").eval()
    at_once = batch.query_times.clone()
    rows = torch.arange(4)
    at_once[rows, batch.lengths - 1] = batch.timestamps[rows, batch.lengths - 1]
    with torch.inference_mode():
        expected = ours(replace(batch, query_times=at_once))[batch.mask]
        found = ours(replace(batch, query_times=None))[batch.mask]
        assert torch.equal(found, expected)
        assert not torch.allclose(found, ours(batch)[batch.mask])


def test_dropout_is_where_the_published_code_has_it(make, shake, compare, patterned_dropout, timed):
    """After the embedding, and before the output projection."""
    batch = timed(11, torch.tensor([11]))
    ours = shake(make("hstu", query_size=8, value_size=8))
    theirs = copies(ours)
    expected = reference(
        batch,
        theirs,
        layers=2,
        heads=1,
        sizes=(8, 8),
        divisor=20,
        mode="next",
        drop=patterned_dropout,
    )
    compare(expected, ours(batch)[0], pairs(theirs, ours))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, 0),
        (1, 0),
        (-1, 0),
        (2, 2),  # ln 2 / 0.301 = 2.3
        (-60, 13),
        (86_400, 37),
        (1_000_000_000, 68),
        (2**62, 128),
    ],
)
def test_buckets(seconds, expected):
    assert buckets(torch.tensor([seconds])).item() == expected


def test_names_shapes_and_number_of_parameters(make):
    """Of the published model of MovieLens-1M, whose layers have 13,100 parameters."""
    model = make("hstu", hidden_size=50, max_length=200, query_size=50, value_size=50, divisor=211)
    expected = {"embedder.item_table": (31, 50), "embedder.position_table": (200, 50)}
    for layer in ("backbone.layers.0.", "backbone.layers.1."):
        expected |= {
            f"{layer}uvqk": (50, 200),
            f"{layer}bias.position_weight": (200,),
            f"{layer}bias.time_weight": (129,),
            f"{layer}output.weight": (50, 50),
            f"{layer}output.bias": (50,),
        }
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == expected
    layer = model.backbone.layers[0]
    # The published 2 * 211 - 1 position weights include the future's, which are never read.
    assert sum(p.numel() for p in layer.parameters()) == 13_100 - (421 - 200)


def test_first_values(make):
    model = make("hstu", hidden_size=64, max_length=200)
    for name, value in model.named_parameters():
        if name.endswith(("uvqk", "item_table")):
            assert 0.0187 < value.std().item() < 0.0213, name
        elif name.endswith(("position_weight", "time_weight")):
            assert 0.015 < value.std().item() < 0.025, name
        elif name.endswith("position_table"):
            assert value.std().item() == pytest.approx(math.sqrt(2 / 264), rel=0.05)
        elif name.endswith("output.weight"):
            assert value.abs().max() <= math.sqrt(6 / 128)
            assert value.std().item() == pytest.approx(math.sqrt(2 / 128), rel=0.05)
        else:
            assert name.endswith("output.bias")
            assert 0 < value.abs().max() <= 1 / 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 3}, "query_size is 64, which is not a multiple of num_heads = 3"),
        ({"query_size": 8, "num_heads": 8, "value_size": 4}, "value_size is 4, which is not a mul"),
        ({"num_layers": 0}, "'num_layers' is 0"),
        ({"divisor": -1}, "'divisor' is -1; expected 0 or more"),
        ({"time_mode": "nxt"}, "'nxt'; did you mean 'next'. expected one of: next, previous, none"),
        ({"position_order": "old"}, "did you mean 'oldest'"),
    ],
)
def test_wrong_settings(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make("hstu", **settings)


def test_more_events_than_positions(make):
    items = torch.ones(1, 21, dtype=torch.int64)
    batch = SequenceBatch(items, torch.tensor([21]))
    model = make("hstu")
    with pytest.raises(ConfigError, match="a history of 21 events is longer than max_length = 20"):
        model(batch)
    for read in (model.backbone, model.backbone.last):
        with pytest.raises(ConfigError, match="number of distances with a weight"):
            read(torch.zeros(1, 21, 16), batch)
