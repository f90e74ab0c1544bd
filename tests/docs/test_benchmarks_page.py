"""The page of benchmarks is current, and every target on it is judged or open for a reason."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.targets import TARGETS, TargetError, judged, only

ROOT = Path(__file__).resolve().parents[2]
TARGET = replace(
    TARGETS[0],
    what="one step",
    result="steps",
    title="a step",
    value=only("ours"),
    wanted=2,
    unit=" ms",
    more=False,
    reason="",
)
COMMANDS = {"steps": "python benchmarks/steps.py"}


def test_the_page_is_what_the_stored_results_give():
    """Fails too if a stored result lacks what a target reads, or a missed target has no reason."""
    done = subprocess.run(
        [sys.executable, "benchmarks/page.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_targets_have_distinct_names_and_results_that_the_page_shows():
    assert len({target.what for target in TARGETS}) == len(TARGETS)
    stored = {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    assert {target.result for target in TARGETS} <= stored


def test_states_of_targets():
    found = {("steps", "a step"): {"ours": 1.5}}
    ((what, command, state, wanted, measured),), lines = judged(found, COMMANDS, [TARGET])
    assert (what, state, wanted, measured) == ("one step", "met", "≤ 2 ms", "1.5 ms")
    assert (command, lines) == ("`python benchmarks/steps.py`", [])
    missed = replace(TARGET, wanted=1, reason="the step copies")
    ((*_, state, _, _),), lines = judged(found, COMMANDS, [missed])
    assert (state, lines) == ("missed", ["- **one step**: the step copies."])
    ((_, command, state, _, measured),), lines = judged({}, {}, [TARGET])
    assert (state, measured, lines) == ("open", "not measured", [])
    assert command == "`python benchmarks/all.py --only steps`"


def test_a_missed_target_without_a_reason_is_an_error():
    found = {("steps", "a step"): {"ours": 3.0}}
    with pytest.raises(TargetError, match=r"one step: 3 ms misses the target ≤ 2 ms and has no"):
        judged(found, COMMANDS, [TARGET])


@pytest.mark.parametrize(
    ("found", "lacking"),
    [
        ({("steps", "one step"): {"ours": 1.5}}, "has no 'a step'"),
        ({("steps", "a step"): {"mine": 1.5}}, "has no 'ours'"),
    ],
)
def test_a_renamed_comparison_is_an_error_and_not_open(found, lacking):
    with pytest.raises(TargetError, match=rf"steps.json {lacking}; .*--only steps"):
        judged(found, COMMANDS, [TARGET])


@pytest.fixture
def runner(monkeypatch, tmp_path):
    """``benchmarks/all.py``, which writes neither the stored results nor the page."""
    folder = ROOT / "benchmarks"
    monkeypatch.syspath_prepend(folder)
    spec = importlib.util.spec_from_file_location("all_benchmarks", folder / "all.py")
    tool = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, tool)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "RESULTS", tmp_path)
    monkeypatch.setattr(tool.page, "write", lambda folder: None)
    monkeypatch.setattr(sys, "argv", ["all.py"])
    return tool


def test_a_benchmark_that_needs_data_is_run_without_an_option(runner, monkeypatch, capsys):
    assert runner.BENCHMARKS["time_to_quality"].command(runner.DATA)[1:] == ["--data", "ml-100k"]
    some = {"quality": runner.Benchmark(("no_such_script.py",), data=True)}
    monkeypatch.setattr(runner, "BENCHMARKS", some)
    assert runner.main() == 1
    assert "quality: failed, its stored result stays" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_fails_the_run(runner, monkeypatch, capsys):
    def refuse(folder):
        raise runner.TargetError("one step has no reason")

    monkeypatch.setattr(runner, "BENCHMARKS", {})
    monkeypatch.setattr(runner.page, "write", refuse)
    assert runner.main() == 1
    assert "the page is not written: one step has no reason" in capsys.readouterr().err
