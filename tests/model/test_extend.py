"""Items that are added to a model in memory."""

import logging

import pytest
import torch

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import DataError, UsageError
from seqzoo.model.extend import with_items
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue
from seqzoo.testing.run import small_model

ITEMS = [f"item-{index}" for index in range(1, 31)]


@pytest.fixture(params=["sasrec", "gru4rec", "mamba4rec", "tim4rec"])
def model(request):
    return small_model(request.param)


def test_known_items_keep_index_vector_and_score(model):
    history = ITEMS[:4]
    before = model.recommend(history, 30, exclude_seen=False)
    table = model.embedder.item_table.clone()
    model.extend(["new-a", "new-b"], labels=["A", None])
    assert model.vocabulary.items == (*ITEMS, "new-a", "new-b")
    assert model.vocabulary.label(31) == "A"
    assert torch.equal(model.embedder.item_table[:31], table)
    after = model.recommend(history, 30, exclude_seen=False, candidates=ITEMS)
    assert {each.item: each.score for each in after} == pytest.approx(
        {each.item: each.score for each in before}, abs=1e-5
    )
    assert len(model.recommend(history, 32, exclude_seen=False)) == 32


def test_a_larger_model_is_saved_without_the_metrics_of_the_old_one(tmp_path, caplog, model):
    model.save_pretrained(tmp_path / "old")
    loaded = SequenceModel.from_pretrained(tmp_path / "old")
    loaded.recipe, loaded.metrics = {"data": {"source": "x"}}, {}
    loaded.extend(["new"])
    with caplog.at_level(logging.WARNING):
        loaded.save_pretrained(tmp_path / "larger")
    again = SequenceModel.from_pretrained(tmp_path / "larger")
    assert again.vocabulary.items[-1] == "new"
    assert torch.equal(again.embedder.item_table, loaded.embedder.item_table)
    assert again.recommend(["new", "item-1"], 3)


def test_a_new_row_has_the_statistics_of_the_trained_rows():
    model = small_model("gru4rec", output_bias=True)
    counts = [0] * 10 + [5] * 20
    model.vocabulary = model.vocabulary.with_counts(counts)
    with torch.no_grad():
        model.embedder.item_table[1:11] = 1000.0  # never trained on: they must not count
        model.embedder.item_table[11:] = torch.randn(20, 16) + 3.0
    many = [f"new-{index}" for index in range(4000)]
    model.extend(many)
    trained, new = model.embedder.item_table[11:31], model.embedder.item_table[31:]
    assert torch.allclose(new.mean(0), trained.mean(0), atol=0.1)
    assert torch.allclose(new.std(0), trained.std(0, correction=0), atol=0.1)
    assert len(model.head.bias) == 4031
    assert model.vocabulary.counts == (*counts, *[0] * 4000)


def test_a_seed_gives_the_same_rows_and_leaves_torchs_generator_alone():
    tables = []
    for seed in (1, 1, 2):
        model = small_model("sasrec")
        state = torch.get_rng_state()
        model.extend(["new"], seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        tables.append(model.embedder.item_table[-1].detach())
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])


def test_the_mode_of_the_model_and_its_index_follow():
    model = small_model("sasrec").train()
    model.use_index("int8")
    model.extend(["new"])
    assert model.training
    assert model.embedder.training
    assert model.index is None


@pytest.mark.parametrize(
    ("items", "labels", "said"),
    [
        ([], None, "no items to add"),
        (["item-3"], None, "'item-3' is in the model already"),
        ([7], None, "item 7 is int"),
        ("new", None, "list of item ids"),
        (["a", "b"], ["A"], "1 labels for 2 items"),
    ],
)
def test_wrong_items_are_refused(items, labels, said):
    with pytest.raises(UsageError, match=said):
        small_model("sasrec").extend(items, labels=labels)


def test_an_id_twice_is_refused_and_nothing_changes():
    model = small_model("sasrec")
    with pytest.raises(DataError, match="'a' more than once"):
        model.extend(["a", "a"])
    assert len(model.vocabulary) == 30


def test_features_for_a_model_without_them_are_refused():
    with pytest.raises(UsageError, match="'item-position' reads no item features"):
        small_model("sasrec").extend(["new"], [{"item_id": "new", "title": "x"}])


def test_a_model_that_counts_is_not_extended():
    if "popular" not in catalogue().architectures:
        pytest.skip("the baselines are not installed")
    with pytest.raises(UsageError, match="is fitted by counting"):
        small_model("popular").extend(["new"])


def test_a_width_that_does_not_fit_is_named():
    model = small_model("sasrec")
    with pytest.raises(Exception, match=r"model.hidden_size is 32 and 16 in the weights") as found:
        with_items(
            model, Vocabulary(model.vocabulary.items), settings={"hidden_size": 32, "dropout": 0.1}
        )
    assert "dropout" not in str(found.value)


def test_more_items_keep_the_dtype():
    model = small_model("sasrec").double()
    model.extend(["more"])
    assert model.embedder.item_table.dtype == torch.float64
    assert model.encode([[ITEMS[0], "more"]]).dtype == torch.float64
