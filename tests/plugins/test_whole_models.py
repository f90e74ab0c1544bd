"""Properties of whole models of all first-party architectures."""

import pytest
import torch

from seqzoo.interfaces import SequenceBatch
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue

HISTORIES = [[5, 1, 9, 9, 30, 2, 17], [3], [8, 8], list(range(1, 21)), [30, 29, 28, 27]]

ARCHITECTURES = (
    "mamba4rec",
    "sasrec",
    "esasrec",
    "duorec",
    "hstu",
    "gru4rec",
    "narm",
    "elastic",
    "ssd4rec",
    "lrurec",
    "fuxi-linear",
)

architectures = pytest.mark.parametrize(
    ("architecture", "layers"),
    [(architecture, layers) for architecture in ARCHITECTURES for layers in (1, 2)],
)


@pytest.fixture
def model(architecture, layers, make, shake):
    """In float64, so that differences are not due to rounding."""
    return shake(make(architecture, num_layers=layers)).eval()


def far_from(one, other):
    return (one - other).abs().max() > 1e-3


@architectures
@torch.inference_mode()
def test_the_future_changes_nothing_before_it(model):
    items = torch.tensor([HISTORIES[3], HISTORIES[3][::-1]])
    lengths = torch.tensor([20, 20])
    before = model(SequenceBatch(items, lengths))
    for t in range(1, 20):
        changed = items.clone()
        changed[:, t:] = 31 - changed[:, t:]
        after = model(SequenceBatch(changed, lengths))
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=1e-12)
        assert far_from(after[:, t], before[:, t])


@architectures
@torch.inference_mode()
def test_the_past_does_change_what_follows(model):
    """Otherwise the test above would pass for a model that reads only the newest event."""
    items = torch.tensor([HISTORIES[3]])
    changed = items.clone()
    changed[0, 15] = 1
    lengths = torch.tensor([20])
    assert far_from(
        model.last(SequenceBatch(items, lengths)), model.last(SequenceBatch(changed, lengths))
    )


@architectures
@pytest.mark.parametrize("read", ["last", "forward"])
@torch.inference_mode()
def test_padding_and_batch_mates_change_nothing(model, read):
    def vectors(batch):
        return model.last(batch) if read == "last" else batch.gather_last(model(batch))

    together = vectors(SequenceBatch.from_histories(HISTORIES))
    for row, history in enumerate(HISTORIES):
        alone = vectors(SequenceBatch.from_histories([history]))
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-11)
        for width in range(len(history), 21):
            # Not even the values in the padding matter.
            items = torch.full((1, width), 7)
            items[0, : len(history)] = torch.tensor(history)
            padded = vectors(SequenceBatch(items, torch.tensor([len(history)])))
            torch.testing.assert_close(padded, alone, rtol=0, atol=1e-11)


@architectures
@torch.inference_mode()
def test_last_is_the_gather_of_forward(model):
    batch = SequenceBatch.from_histories(HISTORIES)
    torch.testing.assert_close(
        model.last(batch), batch.gather_last(model(batch)), rtol=0, atol=1e-12
    )
    model.float()
    # float32 rounds at 6e-8 of the values, which a LayerNorm keeps near 1 where there is one.
    whole = batch.gather_last(model(batch))
    atol = 2e-5 * max(1.0, float(whole.abs().max()))
    torch.testing.assert_close(model.last(batch), whole, rtol=0, atol=atol)


@architectures
def test_gradients_reach_every_parameter(architecture, layers, make):
    # A loss that reads every row of the item table.
    model = make(architecture, num_layers=layers, loss="cross-entropy")
    batch = SequenceBatch.from_histories(HISTORIES)
    hidden = model(batch)[batch.mask]
    model.head.loss(hidden, torch.arange(len(hidden)) % 30 + 1).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # A bias of the keys shifts all scores of a query alike, which softmax does not see.
        if not name.endswith("attention.key.bias"):
            assert parameter.grad.any(), name
        if name.endswith("_table"):
            assert parameter.grad.any(dim=1).all(), name


@architectures
def test_a_seed_gives_one_model(architecture, layers, make):
    one, same, other = (make(architecture, seed, num_layers=layers) for seed in (4, 4, 5))
    for (name, value), (_, again), (_, different) in zip(
        one.named_parameters(), same.named_parameters(), other.named_parameters(), strict=True
    ):
        assert torch.equal(value, again), name
        # These two start from fixed values.
        if value.ndim > 1 and not name.endswith(("A_log", "position_vectors")):
            assert not torch.equal(value, different), name


@architectures
@torch.inference_mode()
def test_dropout_is_for_training(architecture, layers, make):
    model = make(architecture, num_layers=layers)
    batch = SequenceBatch.from_histories(HISTORIES)
    model.train()
    assert not torch.equal(model(batch), model(batch))
    assert not torch.equal(model.last(batch), model.last(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))
    assert torch.equal(model.last(batch), model.last(batch))


@architectures
def test_saved_and_loaded_it_is_the_same(architecture, layers, make, tmp_path):
    model = make(architecture, num_layers=layers).eval()
    model.save_pretrained(tmp_path / "saved")
    loaded = SequenceModel.from_pretrained(tmp_path / "saved")
    assert loaded.architecture == architecture
    assert loaded.config == model.config
    assert loaded.config["num_layers"] == layers
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    histories = [[f"item-{item}" for item in history] for history in HISTORIES]
    assert torch.equal(loaded.encode(histories), model.encode(histories))
    assert loaded.recommend_many(histories, k=5) == model.recommend_many(histories, k=5)


@architectures
def test_recommend_ranks_by_the_scores_of_the_newest_events(architecture, layers, make):
    """Histories longer than the window in one batch with short ones, against one at a time."""
    model = make(architecture, num_layers=layers).eval()
    histories = [*HISTORIES, [*range(30, 0, -1), 4, 4]]
    ids = [[f"item-{item}" for item in history] for history in histories]
    found = model.recommend_many(ids, k=30, exclude_seen=True, batch_size=2)
    for history, recommended in zip(histories, found, strict=True):
        window = torch.tensor([history[-20:]])
        batch = SequenceBatch(window, torch.tensor([window.shape[1]]))
        with torch.inference_mode():
            scores = model.head(model.last(batch))[0].tolist()
        unseen = [item for item in range(1, 31) if item not in history]
        expected = sorted(unseen, key=lambda item: -scores[item])
        assert [recommendation.item for recommendation in recommended] == [
            f"item-{item}" for item in expected
        ]
        for recommendation, item in zip(recommended, expected, strict=True):
            assert recommendation.score == pytest.approx(scores[item], abs=1e-5)


@pytest.mark.parametrize("architecture", ["mamba4rec", "sasrec"])
def test_claims_are_those_of_the_class(architecture):
    spec = catalogue().backbones.get(architecture)
    backbone = spec.load()
    assert spec.plugin == architecture
    assert spec.causal == backbone.causal is True
    assert spec.streaming == backbone.streaming
    assert spec.uses_time == backbone.uses_time is False
