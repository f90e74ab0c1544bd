"""Sparse gradients of the item table, and AdamW by rows."""

import pytest
import torch
from torch import nn

import seqzoo
from seqzoo.errors import TrainingError
from seqzoo.interfaces import SequenceBatch
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter
from seqzoo.training.sparse import RowwiseAdamW, clip_gradients

SETTINGS = {"lr": 0.03, "weight_decay": 0.1}
SAMPLED = pytest.mark.parametrize("loss", ["sampled-softmax", "bce", "gbce", "bpr"])


def trained_rows(batches, gradients):
    """A table of 6 rows and a bias after batches that each read some rows."""
    table, bias = nn.Parameter(torch.ones(6, 3).double()), nn.Parameter(torch.ones(2).double())
    groups = [{"params": [table], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}]
    optimizer = RowwiseAdamW(groups, table, lr=0.03)
    for rows, gradient in zip(batches, gradients, strict=True):
        loss = (nn.functional.embedding(torch.tensor(rows), table, sparse=True) * gradient).sum()
        (loss + bias.square().sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return table.detach(), bias.detach()


def test_each_row_has_adamw_over_the_batches_that_read_it():
    """A row may occur twice in a batch, and batches without it leave it as it is."""
    batches = [[0, 1, 1], [1, 2], [5, 0, 1], [2, 2, 2, 2], [1], [1, 0]]
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(len(rows), 3, generator=generator).double() for rows in batches]
    table, bias = trained_rows(batches, gradients)
    for row in range(6):
        alone = nn.Parameter(torch.ones(3).double())
        optimizer = torch.optim.AdamW([alone], **SETTINGS)
        for rows, gradient in zip(batches, gradients, strict=True):
            if row in rows:
                alone.grad = sum(g for r, g in zip(rows, gradient, strict=True) if r == row)
                optimizer.step()
        torch.testing.assert_close(table[row], alone.detach(), rtol=1e-12, atol=1e-12)
    assert torch.equal(table[3], torch.ones(3).double())
    expected = nn.Parameter(torch.ones(2).double())
    optimizer = torch.optim.AdamW([expected], lr=0.03, weight_decay=0.0)
    for _ in batches:
        optimizer.zero_grad()
        expected.square().sum().backward()
        optimizer.step()
    assert torch.equal(bias, expected.detach())


def test_a_dense_gradient_is_refused():
    table = nn.Parameter(torch.ones(4, 2))
    optimizer = RowwiseAdamW([{"params": [table]}], table)
    table.sum().backward()
    with pytest.raises(TrainingError, match=r"is dense.*set train\.sparse_table=false"):
        optimizer.step()


@pytest.mark.parametrize("largest", [0.5, 1e6])
def test_clipping_counts_sparse_gradients_too(largest):
    def gradients(sparse):
        torch.manual_seed(0)
        table, other = nn.Parameter(torch.randn(9, 4)), nn.Parameter(torch.randn(4))
        rows = nn.functional.embedding(torch.tensor([3, 3, 1]), table, sparse=sparse)
        (rows @ other).square().sum().backward()
        return table, other

    table, other = gradients(True)
    clip_gradients([table, other], largest)
    expected = gradients(False)
    torch.nn.utils.clip_grad_norm_(expected, largest)
    torch.testing.assert_close(table.grad.to_dense(), expected[0].grad)
    torch.testing.assert_close(other.grad, expected[1].grad)


@SAMPLED
@pytest.mark.parametrize("head", ["tied-softmax", "cosine-softmax"])
def test_sparse_gradients_are_the_dense_ones(loss, head):
    torch.manual_seed(0)
    settings = {"head": head, "loss": loss, "loss_options": {"negatives": 5}, "dropout": 0.0}
    if head == "tied-softmax":
        settings["output_bias"] = True
    model = seqzoo.create("gru4rec", num_items=50, **settings)
    batch = SequenceBatch.from_histories([[1, 2, 3], [7, 7]])
    found = []
    for sparse in False, True:
        model.embedder.sparse_gradients = sparse
        torch.manual_seed(1)
        model.zero_grad()
        model.head.loss(model.last(batch), torch.tensor([4, 9])).backward()
        gradient = model.embedder.item_table.grad
        assert gradient.is_sparse == sparse
        found.append(gradient.to_dense())
    torch.testing.assert_close(found[0], found[1])


@SAMPLED
def test_a_run_that_was_stopped_ends_with_the_same_bits(recipe, tmp_path, same_files, loss):
    class StopsAt(Reporter):
        def start(self, epoch, epochs, batches):
            if epoch == 3:
                raise KeyboardInterrupt

    model = {"loss": loss, "loss_options": {"negatives": 8}}
    options = {"epochs": 4, "sparse_table": True, "weight_decay": 0.01, "clip_norm": 1.0}
    given = recipe("sasrec", model, **options)
    train(given, tmp_path / "whole")
    assert train(given, tmp_path / "stopped", reporter=StopsAt()).interrupted
    train(given, tmp_path / "stopped")
    same_files(tmp_path / "whole", tmp_path / "stopped")


def test_it_learns_as_the_dense_way_does(recipe, tmp_path):
    """All rows are read in nearly every batch of so few items."""
    model = {"loss": "sampled-softmax", "loss_options": {"negatives": 30}}
    values = [
        train(recipe("sasrec", model, sparse_table=sparse), tmp_path / str(sparse)).metrics
        for sparse in (False, True)
    ]
    dense, sparse = (value["loo-full"]["ndcg@10"] for value in values)
    assert sparse == pytest.approx(dense, rel=0.1)


def test_a_loss_over_all_items_is_refused(recipe, tmp_path):
    with pytest.raises(TrainingError, match=r"samples items.*model\.loss=sampled-softmax"):
        train(recipe("sasrec", sparse_table=True), tmp_path / "run")
