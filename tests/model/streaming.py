"""A small model of every architecture that streams."""

import pytest
import torch

import seqzoo
from seqzoo.plugins import catalogue

BOUND = 12
"""Number of events up to which the models that are bounded keep a state."""


def streaming_architectures():
    everything = catalogue()
    return [
        spec.name
        for spec in everything.architectures
        # Baselines know nothing before they are fitted; the tests of their plugin do that.
        if everything.backbones.get(spec.backbone).streaming and not spec.baseline
    ]


@pytest.fixture(scope="module", params=streaming_architectures())
def model(request):
    torch.manual_seed(0)
    settings = {"hidden_size": 16, "max_length": BOUND, "num_layers": 2}
    if request.param in ("caser", "narm"):
        del settings["num_layers"]
    return seqzoo.create(request.param, num_items=40, **settings).eval()
