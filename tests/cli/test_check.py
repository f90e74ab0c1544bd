"""``seqzoo check``."""

import json

import pytest
import torch

from seqzoo.plugins import catalogue
from seqzoo.testing import run
from seqzoo.testing.errors import ConformanceError


@pytest.fixture(autouse=True)
def no_exports(monkeypatch):
    """Exports take seconds for each architecture; tests/serving/export has them."""
    monkeypatch.setattr("seqzoo.cli.check.missing_package", lambda: "onnx")


@pytest.fixture
def checks(monkeypatch):
    """The models of the only check that runs, and the threads that torch had."""
    seen = []

    def only(model):
        seen.append((model.architecture, torch.get_num_threads()))

    monkeypatch.setattr(run, "CHECKS", {"only": only})
    return seen


def test_a_part_is_checked_in_all_architectures_or_quickly_in_one(seqzoo, checks):
    using = [spec.name for spec in catalogue().architectures if spec.embedder == "item"]
    assert len(using) > 1
    answer = seqzoo("check", "item")
    assert answer.code == 0
    assert answer.out.endswith("\nall checks passed\n")
    assert [name for name, _ in checks] == using
    checks.clear()
    answer = seqzoo("check", "item", "--quick", "--json")
    assert [name for name, _ in checks] == using[:1]
    said = json.loads(answer.out)
    assert said["ok"]
    assert [(row["subject"], row["check"]) for row in said["checks"]] == [
        ("embedder item", "settings"),
        (f"architecture {using[0]}", "builds"),
        (f"architecture {using[0]}", "only"),
    ]


def test_small_models_are_checked_on_one_thread(seqzoo, checks):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert seqzoo("check", "mamba4rec").code == 0
        assert [threads for _, threads in checks] == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_check_that_fails_is_exit_code_1(seqzoo, monkeypatch):
    def fails(model):
        raise ConformanceError("the wrong shape; look at forward")

    monkeypatch.setattr(run, "CHECKS", {"shapes": fails})
    answer = seqzoo("check", "mamba4rec", "model.num_layers=1")
    assert (answer.code, answer.err) == (1, "")
    (row,) = (line for line in answer.out.splitlines() if "FAILED" in line)
    assert row.split(maxsplit=4)[2:] == ["shapes", "FAILED", "the wrong shape; look at forward"]
    assert answer.out.endswith("\n1 of 3 checks failed\n")


@pytest.mark.parametrize("raised", ["MuteError", "SystemExit"])
def test_a_part_may_raise_anything(seqzoo, monkeypatch, raised):
    class MuteError(Exception):
        def __str__(self):
            raise ValueError

    def raises(model):
        raise MuteError if raised == "MuteError" else SystemExit

    monkeypatch.setattr(run, "CHECKS", {"shapes": raises})
    answer = seqzoo("check", "mamba4rec", "--json")
    assert answer.code == 1
    (failed,) = (row for row in json.loads(answer.out)["checks"] if not row["ok"])
    assert failed["message"] == f"raises {raised}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sasrek"], "did you mean 'sasrec'"),
        (["sasrec", "train.lr=1"], "check takes settings of model.*; got some of train"),
        (["sasrec", "model.num_layer=1"], "did you mean 'model.num_layers'"),
        (["sasrec", "num_layers"], "is not of the form section.key=value"),
    ],
)
def test_mistakes(refused, words, message):
    assert message in refused("check", *words)
