"""Real data sets: counts after the 5-core filter, sequence lengths, exact timestamps."""

import numpy as np
import pytest

from seqzoo.data.build import build_sequences
from seqzoo.data.interactions import Interactions, k_core
from seqzoo.data.readers import read_interactions
from seqzoo.data.splits import LeaveOneOut

COUNTS = {
    "ml-1m": (6_040, 3_416, 999_611),
    "ml-100k": (943, 1_349, 99_287),
    "amazon-beauty": (22_363, 12_101, 198_502),
    "amazon-video-games": (24_303, 10_672, 231_780),
    "ml-latest-small": (610, 3_650, 90_274),
}


@pytest.fixture(scope="module")
def load(real_data):
    loaded = {}

    def load(name):
        if name not in loaded:
            loaded[name] = k_core(read_interactions(real_data(name)), 5)
        return loaded[name]

    return load


@pytest.mark.parametrize("name", COUNTS)
def test_counts_after_the_5_core(load, name):
    core = load(name)
    assert (core.num_users, core.num_items, len(core)) == COUNTS[name]
    assert core.name == name
    assert core.has_times == (name != "amazon-video-games")


def test_ml_1m_lengths_and_titles(load):
    data = build_sequences(load("ml-1m"))
    lengths = data.sequences.lengths
    assert (round(lengths.mean()), np.median(lengths), lengths.max()) == (165, 96, 2_277)
    assert data.vocabulary.label(data.vocabulary.index("1")) == "Toy Story (1995)"
    assert len(LeaveOneOut().part(data.sequences, "test")) == 6_040


def test_ml_1m_times_are_exact(load):
    """Timestamps rounded to float32, as in RecBole, would change many held-out items."""
    core = load("ml-1m")
    data = build_sequences(core)
    moved = build_sequences(core, vocabulary=data.vocabulary, order="float32-time-row")
    for part, share in (("test", 0.198), ("valid", 0.329)):
        targets = LeaveOneOut().part(data.sequences, part).target
        differ = data.sequences.items[targets] != moved.sequences.items[targets]
        assert differ.mean() == pytest.approx(share, abs=0.002)


def test_titles_of_the_others(load):
    assert load("ml-100k").labels["12"] == "Usual Suspects, The (1995)"
    assert load("ml-latest-small").labels["1"] == "Toy Story (1995)"
    assert load("amazon-beauty").labels["B004ZT0SSG"].startswith("OPI Red Shatter")
    assert not load("amazon-video-games").labels


def test_fingerprint_of_ml_100k_does_not_depend_on_the_order_of_users(load):
    core = load("ml-100k")
    by_user = Interactions.from_frame(core.frame.sort("user", maintain_order=True))
    assert build_sequences(by_user).fingerprint == build_sequences(core).fingerprint
