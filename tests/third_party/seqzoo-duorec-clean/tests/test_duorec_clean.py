"""The objective by its definition, and seqzoo's conformance kit."""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from seqzoo_duorec_clean.objective import clean_info_nce
from torch.nn import functional

import seqzoo
from seqzoo.testing import ArchitectureCases, check_objective


class TestConformance(ArchitectureCases):
    """Shapes, capabilities, causality, padding, batches, streaming, gradients, seeds, saving."""

    architecture = "duorec-clean"
    settings: ClassVar = {"hidden_size": 16, "inner_size": 32}


def test_the_objective_conforms():
    check_objective("duorec-clean")


def test_rows_with_the_same_target_are_not_negatives():
    torch.manual_seed(0)
    one, other = torch.randn(2, 4, 8)
    targets = torch.tensor([3, 5, 3, 7])
    vectors, items = [*one, *other], [*targets.tolist()] * 2
    losses = []
    for row in range(8):
        partner = (row + 4) % 8
        similar = [
            float(functional.cosine_similarity(vectors[row], each, dim=0)) for each in vectors
        ]
        wrong = [math.exp(5 * similar[i]) for i in range(8) if items[i] != items[row]]
        right = math.exp(5 * similar[partner])
        losses.append(-math.log(right / (right + sum(wrong))))
    found = float(clean_info_nce(one, other, targets, 5.0))
    assert found == pytest.approx(np.mean(losses), rel=1e-5)


def test_it_trains_resumes_and_streams(tmp_path):
    rows = [(f"u{u}", f"i{(u + t) % 12}", 60 * t) for u in range(24) for t in range(12)]
    recipe = {
        "architecture": "duorec-clean",
        "model": {"hidden_size": 16, "max_length": 10, "contrast_strength": 0.2},
        "data": {"source": rows},
        "train": {"epochs": 2, "batch_size": 4},
    }
    seqzoo.train(recipe, tmp_path / "run")
    model = seqzoo.load(tmp_path / "run")
    assert model.parts["objective"] == "duorec-clean"
    assert model.config["contrast_strength"] == 0.2
    session = model.session()
    for item in ("i3", "i4"):
        session.observe(item)
    expected = model.encode([["i3", "i4"]])[0]
    torch.testing.assert_close(session.hidden, expected, rtol=0, atol=1e-5)


def test_other_architectures_take_it():
    assert seqzoo.create("gru4rec", num_items=9, objective="duorec-clean").num_parameters > 0
