"""The conformance kit finds planted faults of splits and of metrics of lists."""

import sys
import types
from dataclasses import dataclass, replace

import numpy as np
import pytest

from seqzoo.data.splits import LeaveOneOut
from seqzoo.evaluation.list_metrics import coverage
from seqzoo.plugins import catalogue
from seqzoo.specs import MetricSpec, SplitSpec
from seqzoo.testing import ConformanceError, check_registered, check_split

random = np.random.default_rng()


def changed(part, **columns):
    """A split like leave-one-out, with one part changed: each column is a function of it."""

    @dataclass
    class Changed(LeaveOneOut):
        def part(self, sequences, name):
            found = super().part(sequences, name)
            if name != part:
                return found
            return replace(found, **{key: make(found) for key, make in columns.items()})

    return Changed


FAULTS = {
    "trains on a target": (
        changed("train", history_end=lambda found: found.history_end + 1),
        "targets of 'valid' are in histories of 'train'",
    ),
    "shows the answer": (
        changed("test", history_end=lambda found: found.history_end + 1),
        "a target is in its own history",
    ),
    "tests what is validated": (
        changed("valid", target=lambda found: found.target + 1),
        "'valid' and 'test' share targets",
    ),
    "takes another user's event": (
        changed("test", target=lambda found: found.target + 1),
        "not among its user's events",
    ),
    "has no history": (
        changed("test", history_end=lambda found: found.history_start),
        "a target has no event before it",
    ),
    "is not the same each time": (
        changed(
            "valid",
            history_start=lambda found: (
                found.history_end
                - random.integers(1, 3, len(found)).clip(
                    max=found.history_end - found.history_start
                )
            ),
        ),
        "the second time",
    ),
    "has other numbers": (
        changed("test", target=lambda found: found.target.astype(np.int32)),
        "four int64 arrays",
    ),
    "has no row for some users": (
        changed(
            "train",
            **{
                key: lambda found, key=key: getattr(found, key)[:-1]
                for key in ("history_start", "history_end", "target", "users")
            },
        ),
        "expected one row for each user",
    ),
}


@pytest.fixture
def plant(monkeypatch):
    """Register an object of this test under the name ``planted``."""

    def plant(kind, planted):
        module = types.ModuleType("planted_here")
        module.planted = planted
        monkeypatch.setitem(sys.modules, "planted_here", module)
        spec = (
            SplitSpec("planted", "tests", "planted_here:planted")
            if kind == "split"
            else MetricSpec("planted", "tests", "planted_here:planted", "lists")
        )
        registry = catalogue().splits if kind == "split" else catalogue().metrics
        return registry.lend(spec)

    return plant


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_split_is_caught(plant, fault):
    split, message = FAULTS[fault]
    with plant("split", split):
        with pytest.raises(ConformanceError, match=message):
            check_split("planted")
        (outcome,) = check_registered("planted")
        assert not outcome.ok


def test_settings_are_checked_too():
    for targets in ("first", "each"):
        check_split("time", targets=targets, share=0.3)


METRICS = {
    "not a number": (lambda lists, cutoff: float("nan"), "expected one finite number"),
    "one for each user": (lambda lists, cutoff: np.ones(len(lists.items)), "expected one finite"),
    "the order of users": (lambda lists, cutoff: float(lists.items[0, 0]), "order of the users"),
    "beyond the cutoff": (lambda lists, cutoff: float(lists.items.size), "beyond its cutoff"),
}


@pytest.mark.parametrize("fault", METRICS)
def test_a_fault_of_a_metric_of_lists_is_caught(plant, fault):
    metric, message = METRICS[fault]
    with plant("metric", metric):
        (outcome,) = check_registered("planted")
    assert message in outcome.message


def test_a_metric_that_changes_the_lists_is_caught(plant):
    def metric(lists, cutoff):
        value = coverage(lists, cutoff)
        lists.items[:, :cutoff] = np.sort(lists.items[:, :cutoff], axis=1)
        return value

    with plant("metric", metric):
        (outcome,) = check_registered("planted")
    assert "changes the lists" in outcome.message
