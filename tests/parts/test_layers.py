"""What backbones share: heads, the feed-forward layer, and the limits of histories."""

import pytest
import torch
from torch.nn import functional

from seqzoo.errors import ConfigError
from seqzoo.parts.layers import (
    FeedForward,
    check_length,
    check_session_length,
    join_heads,
    split_heads,
)


def test_heads_are_parts_of_the_width_and_come_together_again():
    values = torch.arange(2 * 3 * 8.0).view(2, 3, 8)
    heads = split_heads(values, 4)
    assert heads.shape == (2, 4, 3, 2)
    for head in range(4):
        assert torch.equal(heads[:, head], values[..., 2 * head : 2 * head + 2])
    assert torch.equal(join_heads(heads), values)
    assert torch.equal(split_heads(values[0], 4), heads[0])
    # A part of a wider projection is not contiguous.
    assert torch.equal(split_heads(values.chunk(2, -1)[1], 2), heads[:, 2:])


@pytest.mark.parametrize("inner_dropout", [False, True])
def test_the_feed_forward_layer_is_its_equation(inner_dropout):
    torch.manual_seed(0)
    layer = FeedForward(6, 10, 0.5, 1e-5, names=("w_1", "w_2"), inner_dropout=inner_dropout)
    assert [name for name, _ in layer.named_parameters()] == [
        "w_1.weight", "w_1.bias", "w_2.weight", "w_2.bias", "norm.weight", "norm.bias",
    ]  # fmt: skip
    hidden = torch.randn(2, 3, 6)
    inner = functional.gelu(hidden @ layer.w_1.weight.T + layer.w_1.bias)
    sums = inner @ layer.w_2.weight.T + layer.w_2.bias + hidden
    expected = functional.layer_norm(sums, (6,), layer.norm.weight, layer.norm.bias, 1e-5)
    torch.testing.assert_close(layer.eval()(hidden), expected)
    torch.manual_seed(1)
    found = layer.train()(hidden)
    torch.manual_seed(1)
    if inner_dropout:
        inner = functional.dropout(inner, 0.5)
    sums = functional.dropout(inner @ layer.w_2.weight.T + layer.w_2.bias, 0.5) + hidden
    expected = functional.layer_norm(sums, (6,), layer.norm.weight, layer.norm.bias, 1e-5)
    torch.testing.assert_close(found, expected)


def test_histories_and_sessions_that_are_too_long():
    for check in (check_length, check_session_length):
        check(5, 5)
        check(6, None)
    with pytest.raises(ConfigError) as caught:
        check_length(6, 5, "the number of slots")
    assert str(caught.value) == (
        "a history of 6 events is longer than max_length = 5, the number of slots; keep only its "
        "newest events"
    )
    with pytest.raises(ConfigError) as caught:
        check_session_length(6, 5)
    assert str(caught.value) == (
        "event 6 of a session is beyond max_length = 5, the number of learned positions"
    )
