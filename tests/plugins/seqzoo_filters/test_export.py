"""Exported BSARec and FMLP-Rec, without torch."""

import numpy as np
import pytest

import seqzoo

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bsarec", "fmlp"])
def test_the_exported_model_gives_the_same_vectors(make, architecture, tmp_path):
    from seqzoo.serving.export.runner import Recommender

    model = make(architecture, max_length=12).eval()
    exported = seqzoo.export(model, tmp_path / "out")
    assert not exported.streaming
    draw = np.random.default_rng(0)
    histories = [[f"item-{i}" for i in draw.integers(1, 31, size)] for size in (1, 2, 5, 12)]
    expected = model.encode(histories).numpy()
    found = Recommender(exported.out).encode(histories)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
