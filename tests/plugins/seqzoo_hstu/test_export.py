"""HSTU as ONNX files, in the modes that read no time of the request."""

import pytest

import seqzoo
from seqzoo.errors import UsageError

SETTINGS = {"hidden_size": 16, "max_length": 20, "query_size": 8, "value_size": 8}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["previous", "none"])
def test_export_of_whole_histories_and_of_events(mode, tmp_path):
    """The export itself compares the files with the model, event by event too."""
    pytest.importorskip("onnxscript")
    model = seqzoo.create("hstu", num_items=50, time_mode=mode, **SETTINGS).eval()
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.streaming
    assert exported.max_difference < 1e-5


def test_the_time_of_the_request_is_not_exported(tmp_path):
    pytest.importorskip("onnxscript")
    with pytest.raises(UsageError, match="time of the request, which cannot be exported yet"):
        seqzoo.export(seqzoo.create("hstu", num_items=50, **SETTINGS), tmp_path / "out")
