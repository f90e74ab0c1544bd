"""FuXi-Linear under the published names, in float64, from its quadratic sums.

Independent of the implementation: nothing of the plugin is used. Rows of a history are computed one
by one, and every pair of events by itself.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import silu, softplus

Tensors = dict[str, Tensor]
PREFIX = "_fuxi._attention_layers."


def random_weights(
    items: int,
    width: int = 8,
    rows: int = 40,
    layers: int = 2,
    heads: int = 2,
    query: int = 3,
    periods: int = 2,
    position: int = 4,
    skip: bool = False,
    learned: bool = False,
    inner: int = 8,
    first: int = 1000,
    ratio: int = 30,
) -> Tensors:
    """Weights with the names and shapes of the published code."""
    draw = torch.Generator().manual_seed(0)

    def real(*shape: int) -> Tensor:
        return 0.5 * torch.randn(shape, generator=draw, dtype=torch.float64)

    intervals = torch.tensor([first * ratio**index for index in range(periods)])
    tensors = {
        "_embedding_module._item_emb.weight": real(items + 1, width),
        "_input_features_preproc._pos_emb.weight": real(rows, width),
        "_attn_mask": torch.ones(rows, rows, dtype=torch.bool).triu(1),
    }
    for layer in range(layers):
        name = f"{PREFIX}{layer}."
        tensors |= {
            name + "_uvqk": real(width, 4 * width + 2 * heads * query),
            name + "_retention._gamma": real(heads),
            name + "_channel_t._intervals": intervals,
            name + "_channel_t._scale_factor": 2 * math.pi / intervals,
            name + "_channel_t._gamma": real(periods)
            if learned and not layer
            else torch.zeros(1, dtype=torch.float64),
            name + "_channel_t.proj_v.weight": real(width, width),
            name + "_channel_t._chunkwise_casual_mask": torch.ones(4, 4).tril(),
            name + "_channel_p._emb": real(rows, position),
            name + "_channel_p._alpha": real(1),
            name + "_channel_p._beta": real(1),
            name + "_channel_p._proj_p.weight": real(width, width),
            name + "_mffn.lin0.weight": real(width, 3 * width),
            name + "_mffn.lin1.weight": real(inner, width),
            name + "_mffn.lin2.weight": real(width, inner),
            name + "_mffn.lin3.weight": real(inner, width),
        }
        if skip:
            tensors[name + "_channel_t.alpha"] = real(2 * periods)
            tensors[name + "_channel_t.beta"] = real(2 * periods)
    return tensors


def norm(values: Tensor) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-6)


def hidden_of(
    items: list[int], times: list[int], asked: list[int], p: Tensors, heads: int, drop=lambda v: v
) -> Tensor:
    """The vectors of one history [L, D]."""
    table = p["_embedding_module._item_emb.weight"]
    length, width = len(items), table.shape[1]
    x = math.sqrt(width) * table[torch.tensor(items)]
    x = drop(x + p["_input_features_preproc._pos_emb.weight"][:length])
    layers = len({name.split(".")[2] for name in p if name.startswith(PREFIX)})
    decay = p[f"{PREFIX}0._channel_t._gamma"]
    for layer in range(layers):
        w = {n.removeprefix(f"{PREFIX}{layer}."): v for n, v in p.items()}
        x = one_layer(x, times, asked, w, torch.sigmoid(decay), heads, drop)
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def one_layer(x, times, asked, w, gamma, heads, drop):
    length, width = x.shape
    z = norm(x)
    projected = silu(z @ w["_uvqk"])
    query = (projected.shape[1] - 4 * width) // 2
    gate, q, k, v = projected.split([3 * width, query, query, width], dim=1)
    by_time, by_place = z @ w["_channel_t.proj_v.weight"].T, z @ w["_channel_p._proj_p.weight"].T
    rates = softplus(w["_retention._gamma"])
    periods = w["_channel_t._intervals"].tolist()
    wide, e = width // (2 * len(periods)), w["_channel_p._emb"]
    rows = []
    for i in range(length):
        retained, timed, placed = [], [], torch.zeros(width, dtype=x.dtype)
        for h in range(heads):
            total = torch.zeros(width // heads, dtype=x.dtype)
            own = [slice(h * size // heads, (h + 1) * size // heads) for size in (query, width)]
            share = torch.exp(-torch.exp(-rates[: h + 1].sum()))
            for j in range(i + 1):
                score = q[i, own[0]] @ k[j, own[0]]
                total = total + share ** (i - j + 1) * score * v[j, own[1]]
            retained.append(total)
        for group in range(2 * len(periods)):
            h = group % len(periods)
            values = by_time[:, group * wide : (group + 1) * wide]
            total = torch.zeros(wide, dtype=x.dtype)
            for j in range(i + 1):
                angle = 2 * math.pi * (asked[i] - times[j]) / periods[h]
                wave = math.sin(angle) if group < len(periods) else math.cos(angle)
                total = total + (gamma if len(gamma) == 1 else gamma[h]) ** angle * wave * values[j]
            if "_channel_t.alpha" in w:
                skip = w["_channel_t.beta"][group] * values[i]
                total = w["_channel_t.alpha"][group] * total + skip
            timed.append(total)
        for j in range(i + 1):
            placed = placed + (e[i] @ e[j]) / (e.shape[1] / 2) * by_place[j]
        placed = w["_channel_p._alpha"] * placed + w["_channel_p._beta"] * by_place[i]
        rows.append(torch.cat([norm(torch.cat(retained)), norm(torch.cat(timed)), norm(placed)]))
    mixed = drop(gate * torch.stack(rows)) @ w["_mffn.lin0.weight"].T
    r = mixed + x
    g = drop(r / torch.sqrt((r**2).mean(-1, keepdim=True) + 1e-6))
    inner = silu(g @ w["_mffn.lin1.weight"].T) * (g @ w["_mffn.lin3.weight"].T)
    return inner @ w["_mffn.lin2.weight"].T + r
