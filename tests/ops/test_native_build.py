"""The build of the compiled kernels, and libraries that cannot be used."""

import importlib
import subprocess
import sys
import zipfile

import pytest
import torch

from seqzoo.errors import BackendUnavailableError
from seqzoo.ops import backends, probe
from seqzoo.ops.native import build, library

CPU = torch.device("cpu")


def test_without_a_compiler_the_wheel_is_pure_python(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent")
    with pytest.raises(build.BuildError, match=r"no C compiler found.*nonexistent"):
        build.build(tmp_path / "kernels.so")
    root = build.FOLDER.parents[2]
    command = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(tmp_path), str(root)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("py3-none-any.whl")
    assert not [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(build.LIBRARY.name)]


def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho no such instruction >&2\nexit 3\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(build.BuildError, match=r"failed:\nno such instruction"):
        build.build(tmp_path / "kernels.so")


@pytest.mark.parametrize("state", ["missing", "broken", "stale"])
def test_a_library_that_cannot_be_used_leaves_the_work_to_torch(
    state, tmp_path, monkeypatch, native_refusal
):
    """As ``doctor`` shows it; a stale library could read its arguments wrongly."""
    path = tmp_path / "kernels.so"
    if state == "broken":
        path.write_bytes(b"not a library")
    if state == "stale":
        if native_refusal:
            pytest.skip(native_refusal)
        monkeypatch.setattr(library, "source_fingerprint", lambda: "another")
        path = build.LIBRARY
    monkeypatch.setattr(library, "LIBRARY", path)
    caches = (library.library, library.level, library.function, probe.probe)
    caches += (backends._candidates,)
    for cached in caches:
        cached.cache_clear()
    try:
        rows = [v for v in backends.verdicts(CPU) if v.op == "selective-scan"]
        row = next(v for v in rows if v.backend == "native")
        words = {"missing": "was not built", "broken": "cannot be loaded", "stale": "other source"}
        assert words[state] in row.reason
        assert [v.backend for v in rows if v.chosen] == ["torch"]
        with pytest.raises(BackendUnavailableError, match="install a C compiler"):
            backends.choose("selective-scan", CPU, "native")
    finally:
        for cached in caches:
            cached.cache_clear()


def test_the_build_needs_nothing_of_seqzoo():
    """The build hook runs it before torch is installed."""
    names = set(vars(importlib.import_module("seqzoo.ops.native.build")))
    assert not names & {"torch", "seqzoo"}
    subprocess.run([sys.executable, "-I", "-S", "-c",
        f"import runpy; runpy.run_path({build.__file__!r})"], check=True)  # fmt: skip
