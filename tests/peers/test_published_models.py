"""Models with imported weights against the published classes of Mamba4Rec and TiM4Rec.

Scores, loss and the gradient of every parameter, in float32.
"""

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.import_weights import import_weights
from seqzoo.plugins import catalogue

pytestmark = pytest.mark.slow

TOLERANCE = 5e-5
"""Relative to the largest value. The gradients of the time branch are float32 sums that cancel."""
OLDEST, NEWEST = "mamba-ssm-2.2.4", "mamba-ssm-2.3.2"
ITEMS, LENGTH = 40, 20
SIZES = {
    "n_items": ITEMS + 1,
    "max_seq_length": LENGTH,
    "hidden_size": 64,
    "d_state": 32,
    "d_conv": 4,
    "expand": 2,
    # Dropout is not compared: the classes are in eval mode.
    "dropout_prob": 0.2,
}


@pytest.fixture(scope="module")
def histories() -> dict[str, Tensor]:
    """Right-padded rows with the names of RecBole's fields, from one event to the maximum."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([LENGTH, 1, LENGTH, 11, LENGTH, LENGTH - 1])
    real = torch.arange(LENGTH) < lengths[:, None]
    items = torch.randint(1, ITEMS + 1, real.shape, generator=generator)
    gaps = torch.randint(0, 5000, real.shape, generator=generator)
    return {
        "item_id_list": items * real,
        "item_length": lengths,
        "item_id": torch.randint(1, ITEMS + 1, lengths.shape, generator=generator),
        # Below 2 ** 24, so that RecBole's float32 holds them exactly.
        "timestamp_list": ((gaps.cumsum(1) + 1_000_000) * real).float(),
    }


def ours(architecture, theirs, histories, settings, folder) -> dict[str, Tensor]:
    """Scores, loss and gradients of our model with their weights, under their names."""
    weights = {
        name.removeprefix("weight "): value
        for name, value in theirs.items()
        if name.startswith("weight ")
    }
    save_file(weights, folder / "weights.safetensors")
    model, _ = import_weights(
        folder / "weights.safetensors",
        architecture=architecture,
        vocabulary=Vocabulary([f"i{index}" for index in range(1, ITEMS + 1)]),
        settings={"max_length": LENGTH, **settings},
    )
    batch = SequenceBatch(
        histories["item_id_list"],
        histories["item_length"],
        histories["timestamp_list"].long(),
    )
    with torch.no_grad():
        scores = model.head(model.last(batch))
    loss = model.head.loss(batch.gather_last(model(batch)), histories["item_id"])
    loss.backward()
    gradients = {f"gradient {name}": value.grad for name, value in model.named_parameters()}
    return {"scores": scores, "loss": loss.detach(), **gradients}


def renamed(architecture, theirs) -> dict[str, Tensor]:
    """Their scores, loss and gradients, the latter under our names."""
    gradients = {
        name.removeprefix("gradient "): value
        for name, value in theirs.items()
        if name.startswith("gradient ")
    }
    translated = catalogue().architectures.get(architecture).load_importer()(gradients).weights
    return {
        "scores": theirs["scores"],
        "loss": theirs["loss"],
        **{f"gradient {name}": value for name, value in translated.items()},
    }


@pytest.mark.parametrize("peer", [OLDEST, NEWEST])
@pytest.mark.parametrize("layers", [1, 2])
def test_mamba4rec(layers, peer, ask, code, histories, tmp_path, agree):
    """One layer has no residual connection around its Mamba block, several have."""
    config = {**SIZES, "num_layers": layers, "loss_type": "CE"}
    theirs = ask(
        peer,
        "published_models.py",
        "mamba4rec",
        histories,
        folder=code("mamba4rec"),
        config=config,
    )
    found = ours("mamba4rec", theirs, histories, {}, tmp_path)
    agree(found, renamed("mamba4rec", theirs), TOLERANCE)


@pytest.mark.parametrize(
    ("peer", "released", "settings"),
    [
        (OLDEST, {}, {}),
        (NEWEST, {}, {}),
        (NEWEST, {"num_layers": 1}, {}),
        (NEWEST, {"p2p_residual": True}, {}),
        (NEWEST, {"is_time": False}, {}),
        (NEWEST, {"norm_eps": 1e-5}, {"norm_eps": 1e-5}),
        # With a multiple of 8 heads and causal-conv1d the released code uses SiLU.
        (NEWEST, {"head_dim": 16}, {"activation": "silu"}),
    ],
    ids=["oldest", "newest", "one layer", "p2p residual", "no times", "norm eps", "silu"],
)
def test_tim4rec(peer, released, settings, ask, code, histories, tmp_path, agree):
    """The released time branch, ``time_mode=reference``, and without timestamps."""
    config = {
        **SIZES,
        "num_layers": 2,
        "time_drop_out": 0.2,
        "head_dim": 32,
        "chunk_size": 16,
        "is_ffn": True,
        "is_time": True,
        "p2p_residual": False,
        "norm_eps": 1e-12,
        "is_kai_ming_init": True,
        **released,
    }
    theirs = ask(
        peer, "published_models.py", "tim4rec", histories, folder=code("tim4rec"), config=config
    )
    found = ours("tim4rec", theirs, histories, settings, tmp_path)
    agree(found, renamed("tim4rec", theirs), TOLERANCE)
