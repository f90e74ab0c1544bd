"""HSTU as ONNX files, in each mode of its times."""

import pytest

import seqzoo

SETTINGS = {"hidden_size": 16, "max_length": 20, "query_size": 8, "value_size": 8}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["next", "previous", "none"])
def test_export_of_whole_histories_and_of_events(mode, tmp_path):
    """The export itself compares the files with the model, event by event too."""
    pytest.importorskip("onnxscript")
    model = seqzoo.create("hstu", num_items=50, time_mode=mode, **SETTINGS).eval()
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.streaming
    assert exported.max_difference < 1e-5
