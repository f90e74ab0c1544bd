"""A card says that its weights were trained on other data exactly if the fingerprints say so."""

import json

import pytest
import yaml

from .conftest import CARDS, NAMES

SECTION = "## Training data"


def fingerprints(name):
    """The fingerprint in the recipe, and the one of each measurement on the recipe's data set."""
    data = yaml.safe_load((CARDS / name / "recipe.yaml").read_text("utf-8"))["data"]
    metrics = json.loads((CARDS / name / "metrics.json").read_text("utf-8"))
    measured = [entry["data"] for entry in metrics.values()]
    return data["fingerprint"], {
        each["fingerprint"] for each in measured if each["name"] == data["source"]
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_whether_the_training_data_were_others(name):
    trained, measured = fingerprints(name)
    assert len(measured) == 1
    card = (CARDS / name / "README.md").read_text("utf-8")
    assert (SECTION in card) == (measured != {trained})
