"""LRURec under the published names, in complex128 and one event at a time.

Independent of the implementation: nothing of the plugin is used.
"""

import math

import torch
from torch import Tensor

Tensors = dict[str, Tensor]


def random_weights(items: int, width: int, blocks: int, seed: int = 0) -> Tensors:
    """Weights with the names, shapes and dtypes of the published code."""
    draw = torch.Generator().manual_seed(seed)
    channels = 2 * width

    def real(*shape: int) -> Tensor:
        return 0.4 * torch.randn(shape, generator=draw, dtype=torch.float64)

    def complexes(*shape: int) -> Tensor:
        return torch.complex(real(*shape), real(*shape))

    def norm(name: str) -> Tensors:
        return {name + ".weight": 1.0 + real(width), name + ".bias": real(width)}

    tensors = {
        "embedding.token.weight": real(items + 1, width),
        **norm("embedding.layer_norm"),
        "model.bias": real(items + 1),
    }
    for block in range(blocks):
        name = f"model.lru_blocks.{block}."
        tensors |= {
            # Shares kept between 0.4 and 0.98, and any angle.
            name + "lru_layer.params_log": torch.stack(
                [real(channels) - 2.0, real(channels), real(channels) - 1.0]
            ),
            name + "lru_layer.in_proj.weight": complexes(channels, width),
            name + "lru_layer.in_proj.bias": complexes(channels),
            name + "lru_layer.out_proj.weight": complexes(width, channels),
            name + "lru_layer.out_proj.bias": complexes(width),
            **norm(name + "lru_layer.layer_norm"),
            name + "feed_forward.w_1.weight": real(4 * width, width),
            name + "feed_forward.w_1.bias": real(4 * width),
            name + "feed_forward.w_2.weight": real(width, 4 * width),
            name + "feed_forward.w_2.bias": real(width),
            **norm(name + "feed_forward.layer_norm"),
        }
    return tensors


def normed(values: Tensor, p: Tensors, name: str) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-5) * p[name + ".weight"] + p[name + ".bias"]


def gelu(values: Tensor) -> Tensor:
    return 0.5 * values * (1.0 + torch.erf(values / math.sqrt(2.0)))


def unit(inputs: Tensor, p: Tensors, name: str) -> Tensor:
    """The linear recurrent unit: [B, L, D] -> [B, L, D]."""
    nu, theta, gamma = torch.exp(p[name + "params_log"])
    decay = torch.exp(torch.complex(-nu, theta))
    state = torch.zeros(len(inputs), len(decay), dtype=torch.complex128)
    outputs = []
    for t in range(inputs.shape[1]):
        now = inputs[:, t].to(torch.complex128)
        added = now @ p[name + "in_proj.weight"].T + p[name + "in_proj.bias"]
        state = decay * state + gamma * added
        outputs.append((state @ p[name + "out_proj.weight"].T + p[name + "out_proj.bias"]).real)
    return torch.stack(outputs, dim=1)


def hidden_of(items: Tensor, p: Tensors, blocks: int, drop=lambda values: values) -> Tensor:
    """The vectors of all positions [B, L, D]."""
    hidden = normed(drop(p["embedding.token.weight"][items]), p, "embedding.layer_norm")
    for block in range(blocks):
        name = f"model.lru_blocks.{block}."
        mixed = drop(unit(hidden, p, name + "lru_layer."))
        hidden = normed(mixed + hidden, p, name + "lru_layer.layer_norm")
        feed = name + "feed_forward."
        inner = drop(gelu(hidden @ p[feed + "w_1.weight"].T + p[feed + "w_1.bias"]))
        outer = drop(inner @ p[feed + "w_2.weight"].T + p[feed + "w_2.bias"])
        hidden = normed(outer + hidden, p, feed + "layer_norm")
    return hidden


def scores_of(items: Tensor, p: Tensors, blocks: int) -> Tensor:
    """The scores of all items at all positions [B, L, V + 1]."""
    hidden = hidden_of(items, p, blocks)
    return hidden @ p["embedding.token.weight"].T + p["model.bias"]
