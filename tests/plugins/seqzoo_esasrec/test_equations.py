"""eSASRec's LiGR layers against plain loops in float64."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch

LENGTHS = torch.tensor([19, 1, 2, 11])


def norm(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-5) * weight + bias


def sigmoid(values: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-values))


def attention(z: Tensor, heads: int, own: dict[str, Tensor]) -> Tensor:
    """One history [n, D]: a loop over heads and positions."""
    size = z.shape[1]
    both = z @ own["attention.project.weight"].T + own["attention.project.bias"]
    query, key, value = both[:, :size], both[:, size : 2 * size], both[:, 2 * size :]
    mixed = []
    for head in range(heads):
        part = slice(head * size // heads, (head + 1) * size // heads)
        rows = []
        for i in range(len(z)):
            scores = key[: i + 1, part] @ query[i, part] / math.sqrt(size // heads)
            weights = torch.exp(scores - scores.max())
            rows.append(weights / weights.sum() @ value[: i + 1, part])
        mixed.append(torch.stack(rows))
    together = torch.cat(mixed, 1)
    return together @ own["attention.output.weight"].T + own["attention.output.bias"]


def one_history(
    items: Tensor, p: dict[str, Tensor], layers: int, heads: int, drop=lambda values: values
) -> Tensor:
    """The vectors of one history, [n] -> [n, D]."""
    x = drop(p["embedder.item_table"][items] + p["embedder.position_table"][: len(items)])
    for number in range(layers):
        prefix = f"backbone.layers.{number}."
        own = {n.removeprefix(prefix): v for n, v in p.items() if n.startswith(prefix)}
        z = norm(x, own["norm_1.weight"], own["norm_1.bias"])
        gate = sigmoid(x @ own["gate_1.weight"].T + own["gate_1.bias"])
        x = x + gate * drop(attention(z, heads, own))
        z = norm(x, own["norm_2.weight"], own["norm_2.bias"])
        inner = z @ own["feed_forward.linear_1.weight"].T
        inner = inner * sigmoid(inner) * (z @ own["feed_forward.linear_3.weight"].T)
        gate = sigmoid(x @ own["gate_2.weight"].T + own["gate_2.bias"])
        x = x + gate * drop(drop(inner) @ own["feed_forward.linear_2.weight"].T)
    return x


def reference(batch: SequenceBatch, p: dict[str, Tensor], layers: int, heads: int) -> Tensor:
    rows = zip(batch.items, batch.lengths.tolist(), strict=True)
    return torch.cat([one_history(items[:n], p, layers, heads) for items, n in rows])


def some_batch(width: int = 19) -> SequenceBatch:
    items = torch.randint(1, 31, (4, width), generator=torch.manual_seed(1))
    items[torch.arange(width) >= LENGTHS[:, None]] = 0
    return SequenceBatch(items, LENGTHS)


def copies(module: torch.nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in module.named_parameters()
    }


@pytest.mark.parametrize(("layers", "heads", "factor"), [(1, 1, 4), (2, 2, 1), (2, 4, 2)])
def test_vectors_and_gradients(layers, heads, factor, make, shake, compare):
    ours = make("esasrec", num_layers=layers, num_heads=heads, inner_factor=factor)
    ours = shake(ours).eval()
    theirs = copies(ours)
    batch = some_batch()
    expected = reference(batch, theirs, layers, heads)
    named = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    compare(expected, ours(batch)[batch.mask], named)
    newest = LENGTHS.cumsum(0) - 1
    torch.testing.assert_close(ours.last(batch), expected[newest], rtol=1e-11, atol=1e-11)


def test_dropout_is_where_the_published_code_has_it(
    make, shake, compare, patterned_dropout, monkeypatch
):
    """After the embedding, after attention, and inside and after the feed-forward layers."""
    # The pattern cannot reach the attention weights inside the fused kernel.
    fused = functional.scaled_dot_product_attention
    shares = []

    def watched(*tensors, dropout_p, **options):
        shares.append(dropout_p)
        return fused(*tensors, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", watched)
    ours = shake(make("esasrec", dropout=0.25))
    theirs = copies(ours)
    items = torch.randint(1, 31, (19,), generator=torch.manual_seed(1))
    expected = one_history(items, theirs, 2, 1, patterned_dropout)
    found = ours(SequenceBatch(items[None], torch.tensor([19])))[0]
    compare(expected, found, {n: (theirs[n], value) for n, value in ours.named_parameters()})
    ours.eval().last(some_batch())
    assert shares == [0.25] * 2 + [0.0] * 2


def test_names_shapes_and_number_of_parameters(make):
    model = make("esasrec", hidden_size=64, max_length=200)
    expected = {"embedder.item_table": (31, 64), "embedder.position_table": (200, 64)}
    for layer in ("backbone.layers.0.", "backbone.layers.1."):
        expected |= {
            f"{layer}attention.project.weight": (192, 64),
            f"{layer}attention.project.bias": (192,),
            f"{layer}attention.output.weight": (64, 64),
            f"{layer}attention.output.bias": (64,),
            f"{layer}feed_forward.linear_1.weight": (256, 64),
            f"{layer}feed_forward.linear_2.weight": (64, 256),
            f"{layer}feed_forward.linear_3.weight": (256, 64),
        }
        for part in ("norm_1", "norm_2", "gate_1", "gate_2"):
            shape = (64,) if part.startswith("norm") else (64, 64)
            expected |= {f"{layer}{part}.weight": shape, f"{layer}{part}.bias": (64,)}
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == expected
    # 18 D^2 at four times the width inside, and ten vectors of biases and norms.
    layer = sum(parameter.numel() for parameter in model.backbone.layers[0].parameters())
    assert layer == 18 * 64**2 + 10 * 64


def test_first_values(make):
    model = make("esasrec", hidden_size=64, max_length=200)
    for name, value in model.named_parameters():
        if "norm" in name:
            assert torch.equal(value, torch.full_like(value, float(name.endswith("weight"))))
        elif "attention" in name and name.endswith("bias"):
            assert not value.any()
        elif name.endswith("bias"):
            assert 0 < value.abs().max() <= 1 / 8
        else:
            rows, columns = value.shape
            assert value.std().item() == pytest.approx(math.sqrt(2 / (rows + columns)), rel=0.05), (
                name
            )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 3}, "hidden_size is 16, which is not a multiple of num_heads = 3"),
        ({"inner_factor": 0}, "'inner_factor' is 0; expected 1 or more"),
        ({"dropout": 1.0}, r"'dropout' is 1\.0"),
        ({"num_head": 2}, "'model.num_head'; did you mean 'model.num_heads'"),
    ],
)
def test_wrong_settings(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make("esasrec", **settings)
