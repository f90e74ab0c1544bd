"""Plugins as pip leaves them: a module and a dist-info folder on ``sys.path``."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from seqzoo.plugins import plugins

_numbers = itertools.count()

HOOK = """
from seqzoo.plugins import hookimpl

@hookimpl
def seqzoo_register(zoo):
"""

VARIABLES = ("SEQZOO_DISABLE_PLUGINS", "SEQZOO_PLUGINS", "SEQZOO_STRICT_PLUGINS")


@pytest.fixture
def hook() -> Callable[[str], str]:
    """The source of a plugin whose hook has this body."""

    def hook(body: str) -> str:
        return HOOK + "".join(f"    {line}\n" for line in body.strip().splitlines())

    return hook


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages that this process looks into."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    plugins()  # this process keeps what it finds first: let that be what is really installed
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def install(site: Path) -> Callable[..., str]:
    """``install(source)`` a plugin; returns the name of its module, which no other test has."""

    def install(
        source: str,
        name: str = "linrec",
        distribution: str = "seqzoo-linrec",
        version: str = "1.2.3",
        value: str | None = None,
        folder: Path | None = None,
    ) -> str:
        folder = folder or site
        module = f"seqzoo_test_plugin_{next(_numbers)}"
        (folder / f"{module}.py").write_text(source)
        info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        entry = f"{name} = {module if value is None else value}\n"
        points = info / "entry_points.txt"
        known = points.read_text() if points.exists() else "[seqzoo]\n"
        points.write_text(known + entry)
        return module

    return install
