"""An environment in which exported folders must work."""

import os
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import Environment


@pytest.fixture(scope="session")
def bare(tmp_path_factory):
    """One that has numpy and onnxruntime of this one, and neither torch nor seqzoo."""
    home = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(home, symlinks=os.name != "nt")
    made = Environment(home)
    site = made.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    for name in ("numpy", "numpy.libs", "onnxruntime", "onnxruntime.libs"):
        for scheme in ("purelib", "platlib"):
            found, link = Path(sysconfig.get_path(scheme)) / name, Path(site) / name
            if found.exists() and not link.exists():
                link.symlink_to(found)
    return made
