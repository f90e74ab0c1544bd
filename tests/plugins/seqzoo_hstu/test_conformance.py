"""The conformance kit, for every kind of HSTU."""

from typing import ClassVar

import pytest

from seqzoo.testing import ArchitectureCases, check_model, check_registered, small_model


class TestConformance(ArchitectureCases):
    """Every check with the default settings."""

    architecture = "hstu"
    settings: ClassVar = {"query_size": 8, "value_size": 12, "num_heads": 2}


@pytest.mark.parametrize(
    "settings",
    [
        {"time_mode": "previous"},
        {"time_mode": "none", "num_layers": 1},
        {"affine_norm": True, "position_order": "newest"},
        {"head": "tied-softmax", "loss": "cross-entropy", "num_heads": 4},
    ],
)
def test_other_settings(settings):
    check_model(small_model("hstu", **settings))


def test_everything_registered():
    failed = [outcome for outcome in check_registered("hstu") if not outcome.ok]
    assert not failed, failed
