"""Comparisons with independent implementations, each in an environment of its own.

``python -m pytest -m slow tests/peers`` builds the environments, which takes minutes and needs the
network. What cannot be built is skipped with the reason.
"""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.peers import PeerUnavailableError, code_of, python_of

SCRIPTS = Path(__file__).parent / "scripts"
REPOSITORY = Path(__file__).parents[2]

LARGEST = "largest difference"
"""The property of a test that is shown at the end."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how close the results were."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == LARGEST:
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]:72} {value}")


@pytest.fixture(scope="session")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Tensor]]:
    """A function that calls a function of a script in a peer's environment."""

    def ask(peer: str, script: str, function: str, given: Mapping[str, Tensor], **settings: Any):
        folder = tmp_path_factory.mktemp(function)
        np.savez(folder / "given.npz", **{name: value.numpy() for name, value in given.items()})
        try:
            python = python_of(peer)
        except PeerUnavailableError as error:
            pytest.skip(str(error))
        command = [str(python), str(SCRIPTS / script), function, json.dumps(settings)]
        done = subprocess.run(
            [*command, str(folder / "given.npz"), str(folder / "result.npz")],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TRITON_INTERPRET": "1"},
        )
        assert done.returncode == 0, done.stderr
        with np.load(folder / "result.npz", allow_pickle=False) as arrays:
            return {name: torch.from_numpy(array) for name, array in arrays.items()}

    return ask


@pytest.fixture(scope="session")
def code() -> Callable[[str], str]:
    """A function that gives the folder of published code."""

    def code(name: str) -> str:
        try:
            return str(code_of(name).resolve())
        except PeerUnavailableError as error:
            pytest.skip(str(error))

    return code


@pytest.fixture
def agree(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Compares tensors by name; a difference is relative to the largest value of the tensor."""

    def agree(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], tolerance: float) -> None:
        assert ours.keys() == theirs.keys()
        differences = {}
        for name, value in ours.items():
            assert value.shape == theirs[name].shape, name
            size = theirs[name].abs().max()
            # Tensors of zeros would agree for any computation.
            assert size > 0, name
            differences[name] = float((value - theirs[name]).abs().max() / size)
        worst = max(differences, key=differences.__getitem__)
        record_property(LARGEST, f"{differences[worst]:.1e} ({worst})")
        assert differences[worst] <= tolerance, differences

    return agree
