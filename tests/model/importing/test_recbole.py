"""The real RecBole's weights, imported, give the real RecBole's scores."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.peers import PeerUnavailableError, python_of
from seqzoo.model.import_weights import import_weights

HERE = Path(__file__).parent
MODELS = {"SASRec": "sasrec", "GRU4Rec": "gru4rec", "NARM": "narm"}
HEADS = {"SASRec": {"num_heads": 2}}


@pytest.fixture(scope="module")
def reference(tmp_path_factory, real_data) -> Path:
    """What ``recbole_reference.py`` writes, in an environment with the real RecBole."""
    data = real_data("ml-100k").parent
    try:
        python = str(python_of("recbole"))
    except PeerUnavailableError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp("recbole-reference")
    command = [python, str(HERE / "recbole_reference.py"), "--data", str(data), "--out", str(out)]
    # RecBole writes its logs where it runs.
    subprocess.run(command, check=True, cwd=out, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the environment's layout is another one")
@pytest.mark.parametrize("name", MODELS)
def test_imported_weights_give_recboles_own_scores(reference, name, record_property):
    settings = {"max_length": 50, **HEADS.get(name, {})}
    model, _ = import_weights(
        reference / f"{name}.pth",
        architecture=MODELS[name],
        vocabulary=reference / "vocabulary.txt",
        settings=settings,
    )
    histories = json.loads((reference / "histories.json").read_text())
    assert len(histories) == 50
    assert {len(history) for history in histories} == set(range(1, 51))
    expected = torch.from_numpy(np.load(reference / f"scores-{name}.npy"))
    with torch.inference_mode():
        scores = model.head(model.encode(histories, on_unknown="error"))
    difference = (scores[:, 1:] - expected[:, 1:]).abs().max()
    record_property("largest difference", float(difference))
    assert expected[:, 1:].std() > 1e-3
    assert difference <= 1e-5
