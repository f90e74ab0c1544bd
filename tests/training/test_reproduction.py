"""A bundled checkpoint's recipe gives the same weights again, bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import seqzoo

CARDS = Path(__file__).resolve().parents[2] / "model_cards"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru4rec-ml100k"])
def test_the_recipe_of_a_checkpoint_gives_its_weights(name, real_data, tmp_path):
    data = real_data("ml-100k").parent
    trained_with = seqzoo.info(name)["measured"]["loo-full"]["versions"]["torch"]
    if trained_with != torch.__version__:
        pytest.skip(f"trained with torch {trained_with}, here is {torch.__version__}")
    recipe = CARDS / name / "recipe.yaml"
    subprocess.run(
        [sys.executable, "-m", "seqzoo", "train", str(recipe), "--out", str(tmp_path / "run")],
        check=True,
        env={**os.environ, "SEQZOO_DATA": str(data)},
    )
    again = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert again == (CARDS / name / "model.safetensors").read_bytes()
