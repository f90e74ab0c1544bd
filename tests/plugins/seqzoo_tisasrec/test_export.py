"""Exported TiSASRec: whole histories, and event by event, without torch."""

import numpy as np
import pytest

import seqzoo

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"scale": "user_min"}], ids=str)
def test_the_exported_model_gives_the_same_vectors(make, settings, tmp_path):
    from seqzoo.serving.export.runner import Recommender

    model = make("tisasrec", max_length=12, **settings).eval()
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.streaming is (not settings)
    runner = Recommender(exported.out)
    draw = np.random.default_rng(0)
    lengths = (1, 2, 5, 12)
    histories = [[f"item-{i}" for i in draw.integers(1, 31, size)] for size in lengths]
    times = [(10**9 + draw.integers(0, 20_000, size).cumsum()).tolist() for size in lengths]
    expected = model.encode(histories, timestamps=times).numpy()
    found = runner.encode(histories, times)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    if exported.streaming:
        for history, own, vector in zip(histories, times, expected, strict=True):
            session = runner.session()
            for item, time in zip(history, own, strict=True):
                session.observe(item, time)
            assert np.abs(session.vector - vector).max() <= 1e-5 * np.abs(vector).max()
