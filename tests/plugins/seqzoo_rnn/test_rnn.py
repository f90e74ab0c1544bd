"""GRU4Rec and NARM, as in RecBole, against gates and attention written out in float64."""

import math

import pytest
import torch
from torch import Tensor

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.testing.conformance import check_model

G = 12

GRU4REC = [("gru4rec", {"num_layers": 1}), ("gru4rec", {"num_layers": 2})]
NARM = [
    ("narm", {}),
    ("narm", {"num_layers": 2, "chunk_size": 7}),
    ("narm", {"attention": "softmax", "chunk_size": 3}),
]
KINDS = pytest.mark.parametrize(("architecture", "settings"), GRU4REC + NARM)


def sigmoid(values: Tensor) -> Tensor:
    return 1.0 / (1.0 + torch.exp(-values))


def gru(inputs: Tensor, p: dict[str, Tensor], prefix: str, layers: int) -> Tensor:
    """All states of the top layer [B, L, G], one position and one gate at a time."""
    for layer in range(layers):
        w_input = p[f"{prefix}weight_ih_l{layer}"].split(G)
        w_state = p[f"{prefix}weight_hh_l{layer}"].split(G)
        state = inputs.new_zeros(len(inputs), G)
        states = []
        for t in range(inputs.shape[1]):
            x = inputs[:, t]
            reset = sigmoid(x @ w_input[0].T + state @ w_state[0].T)
            update = sigmoid(x @ w_input[1].T + state @ w_state[1].T)
            new = torch.tanh(x @ w_input[2].T + reset * (state @ w_state[2].T))
            state = (1.0 - update) * new + update * state
            states.append(state)
        inputs = torch.stack(states, dim=1)
    return inputs


def gru4rec(batch: SequenceBatch, p: dict[str, Tensor], num_layers: int = 1) -> Tensor:
    embedded = p["embedder.item_table"][batch.items]
    states = gru(embedded, p, "backbone.gru_layers.", num_layers)
    return states @ p["backbone.dense.weight"].T + p["backbone.dense.bias"]


def narm(
    batch: SequenceBatch,
    p: dict[str, Tensor],
    num_layers: int = 1,
    attention: str = "sum",
    drop=lambda values: values,
    **_: object,
) -> Tensor:
    states = gru(p["embedder.item_table"][batch.items], p, "backbone.gru.", num_layers)
    keys, v = states @ p["backbone.a_1.weight"].T, p["backbone.v_t.weight"][0]
    outputs = []
    for t in range(states.shape[1]):
        query = states[:, t] @ p["backbone.a_2.weight"].T
        alpha = sigmoid(keys[:, : t + 1] + query[:, None]) @ v
        if attention == "softmax":
            alpha = alpha.exp() / alpha.exp().sum(1, keepdim=True)
        local = (alpha[..., None] * states[:, : t + 1]).sum(1)
        outputs.append(torch.cat([local, states[:, t]], dim=1))
    return drop(torch.stack(outputs, 1)) @ p["backbone.b.weight"].T


REFERENCES = {"gru4rec": gru4rec, "narm": narm}


def histories(rows: int, length: int) -> SequenceBatch:
    draw = torch.Generator().manual_seed(rows * 1000 + length)
    lengths = torch.randint(1, length + 1, (rows,), generator=draw)
    lengths[0] = length
    items = torch.randint(1, 31, (rows, length), generator=draw)
    return SequenceBatch(items.masked_fill(torch.arange(length) >= lengths[:, None], 0), lengths)


@pytest.fixture
def build(make, shake):
    def build(architecture, **settings):
        return shake(make(architecture, gru_size=G, max_length=200, **settings)).eval()

    return build


@KINDS
@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 31, 200])
def test_values_and_gradients(build, compare, architecture, settings, rows, length):
    model = build(architecture, **settings)
    batch = histories(rows, length)
    own = {n: value for n, value in model.named_parameters() if not n.startswith("head")}
    theirs = {n: value.detach().clone().requires_grad_() for n, value in own.items()}
    expected = REFERENCES[architecture](batch, theirs, **settings)
    pairs = {name: (theirs[name], own[name]) for name in own}
    if length == 1:
        # The first position has no state before it, so what multiplies states gets no gradient.
        pairs = {n: pair for n, pair in pairs.items() if "weight_hh" not in n and "a_" not in n}
    compare(expected[batch.mask], model(batch)[batch.mask], pairs)
    last = expected[torch.arange(rows), batch.lengths - 1]
    torch.testing.assert_close(model.last(batch), last, rtol=1e-10, atol=1e-10)


def test_chunks_change_nothing_but_rounding(build):
    batch = histories(7, 50)
    whole = build("narm", chunk_size=200).float()(batch)
    for size in (1, 3, 16, 50):
        found = build("narm", chunk_size=size).float()(batch)
        assert (found - whole).abs().max() <= 1e-6 * whole.abs().max()


def test_dropout_is_before_the_last_matrix(build, patterned_dropout):
    model = build("narm").train()
    batch = histories(2, 6)
    own = dict(model.named_parameters())
    own["embedder.item_table"] = own["embedder.item_table"].detach()
    vectors = patterned_dropout(own["embedder.item_table"][batch.items])
    table = vectors.flatten(0, 1)
    rows = torch.arange(12).view(2, 6)
    expected = narm(
        SequenceBatch(rows, batch.lengths),
        {**own, "embedder.item_table": table},
        drop=patterned_dropout,
    )
    torch.testing.assert_close(model(batch), expected)


@KINDS
def test_promises_are_kept(make, architecture, settings):
    check_model(make(architecture, gru_size=G, **settings))


@pytest.mark.parametrize(("architecture", "expected"), [("gru4rec", 300_672), ("narm", 341_696)])
def test_parameters_are_as_many_as_the_reference_counts(make, architecture, expected):
    items = Vocabulary([str(index) for index in range(3_416)])
    assert SequenceModel.build(architecture, {}, items).num_parameters == expected


def test_the_first_values_are_those_of_the_reference(make):
    model = make("gru4rec", hidden_size=64, gru_size=128, num_layers=2)
    table = model.embedder.item_table.detach()
    assert float(table.std()) == pytest.approx(math.sqrt(2 / (31 + 64)), rel=0.1)
    assert not torch.equal(table[0], torch.zeros(64))
    gru = model.backbone.gru_layers
    for name, bound in (
        ("weight_ih_l0", math.sqrt(6 / (3 * 128 + 64))),
        ("weight_hh_l0", math.sqrt(6 / (3 * 128 + 128))),
        ("weight_ih_l1", 1 / math.sqrt(128)),
        ("weight_hh_l1", 1 / math.sqrt(128)),
    ):
        largest = float(getattr(gru, name).detach().abs().max())
        assert 0.98 * bound < largest <= bound, name
    assert not any("bias" in name for name, _ in gru.named_parameters())
    narm = make("narm", hidden_size=64, gru_size=128).backbone
    assert float(narm.a_1.weight.detach().std()) == pytest.approx(math.sqrt(2 / 256), rel=0.05)
    assert float(narm.b.weight.detach().std()) == pytest.approx(math.sqrt(2 / (256 + 64)), rel=0.05)


@pytest.mark.parametrize(
    ("architecture", "settings", "message"),
    [
        ("gru4rec", {"gru_size": 0}, "gru_size"),
        ("gru4rec", {"num_layers": 0}, "num_layers"),
        ("narm", {"output_dropout": 1.0}, "output_dropout"),
        ("narm", {"attention": "add"}, "expected one of: sum, softmax"),
        ("narm", {"chunk_size": 0}, "chunk_size"),
        ("narm", {"initialisation": "uniform"}, "expected one of: normal, xavier"),
    ],
)
def test_bad_settings(make, architecture, settings, message):
    with pytest.raises(ConfigError, match=message):
        make(architecture, **settings)


@pytest.mark.parametrize("architecture", ["gru4rec", "narm"])
def test_a_session_recommends_what_the_whole_history_does(make, architecture):
    model = make(architecture, gru_size=G, max_length=10).eval()
    session = model.session()
    history = [f"item-{1 + (7 * t) % 30}" for t in range(14)]
    for t, item in enumerate(history, 1):
        session.observe(item)
        if architecture == "narm" or t <= 10:
            # NARM keeps ten states; beyond those it reads the newest ten events, as a model given
            # the whole history does. GRU4Rec's session forgets nothing.
            expected = model.recommend(history[:t], k=5)
            found = session.recommend(k=5)
            assert [r.item for r in found] == [r.item for r in expected]
