"""Run a part of the test suite with the lowest versions of the dependencies that seqzoo allows.

``python tools/lowest_versions.py`` resolves every direct dependency in pyproject.toml to its lower
bound, those of the extras too, installs these versions into a fresh environment for each Python
that is found, and runs the tests below there. torch is the exception: its version is the one that
is installed here. A Python for which that torch cannot be installed is skipped with the reason,
after its compiler has read the sources. The exit code is 1 if a version or a test fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
EXTRAS = ("docs", "export", "plot", "ray", "serve", "tune")
"""Optional dependencies; ``cuda`` is left out, as it needs a GPU's compiler."""
TOOLS = ("editables", "hatchling", "httpx", "pip", "pytest", "pytest-xdist")
"""What runs the tests; at its newest version, as no user of seqzoo has to install it."""
TESTS = (
    "tests/core",
    "tests/parts",
    "tests/data",
    "tests/model/test_session.py",
    "tests/checkpoint/test_round_trip.py",
    "tests/hub/test_pull.py",
    "tests/hub/test_push.py",
    "tests/training/test_recipe.py",
    "tests/training/test_train.py",
    "tests/evaluation/test_compare.py",
    "tests/evaluation/test_evaluate.py",
    "tests/cli/test_list_info.py",
    "tests/cli/test_recommend.py",
    "tests/cli/test_train.py",
    "tests/docs/test_site.py",
    "tests/serving/export/test_export.py",
    "tests/serving/test_ray.py",
    "tests/serving/test_service.py",
    "tests/tuning",
)
"""Tests that use every dependency: tables, settings, plugins, weights, the Hub, the terminal; then
one group for each extra."""
_COMPILE = """
import pathlib, sys
for folder in sys.argv[1:]:
    for path in pathlib.Path(folder).rglob("*.py"):
        compile(path.read_text("utf-8"), str(path), "exec")
"""


def say(text: str) -> None:
    """Report progress at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def pythons() -> Iterator[tuple[str, str]]:
    """Versions and interpreters of the supported Pythons on this machine, this one first."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    yield here, sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for wanted in PYTHONS:
        if wanted == here:
            continue
        candidates = [
            shutil.which(f"python{wanted}"),
            *sorted(pyenv.glob(f"{wanted}.*/bin/python")),
        ]
        for candidate in filter(None, candidates):
            # A shim may belong to an interpreter that is not active.
            asked = [str(candidate), "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
            answer = subprocess.run(asked, capture_output=True, text=True)  # noqa: S603 found above
            if answer.stdout.strip() == wanted:
                yield wanted, str(candidate)
                break


def package_sources() -> dict[str, str]:
    """The package indexes and folders of pip's configuration, as variables for uv."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 pip
    settings: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        settings[key.rpartition(".")[2]] = value.strip("'\"")
    names = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_EXTRA_INDEX_URL",
        "find-links": "UV_FIND_LINKS",
        "cert": "SSL_CERT_FILE",
    }
    found = {name: settings[key] for key, name in names.items() if key in settings}
    if "UV_FIND_LINKS" in found:
        found["UV_FIND_LINKS"] = ",".join(found["UV_FIND_LINKS"].split())
    # pip takes the best version of all indexes; uv by default only looks into the first.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **found}


def uv(*words: str | Path, check: bool = True, **options: str) -> subprocess.CompletedProcess[str]:
    """Run uv with pip's package sources; a failure ends the script with uv's own words."""
    done = subprocess.run(  # noqa: S603 our own command
        [sys.executable, "-m", "uv", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **package_sources(), "UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    if check and done.returncode:
        raise SystemExit(f"uv {' '.join(map(str, words))}\n{done.stderr}")
    return done


def check(python: str, torch: str, folder: Path) -> bool:
    """Resolve, install and test with one interpreter; False if a test fails."""
    found = uv("pip", "compile", "-q", "--python", python, "-", check=False, input=torch)
    if found.returncode:
        command = [python, "-c", _COMPILE, "seqzoo", "plugins"]
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 found above
        reason = " ".join(found.stderr.split()).partition("cause: ")[2] or found.stderr
        say(f"  skipped: {torch} cannot be installed ({reason})")
        say("  its compiler reads all sources")
        return True
    constraint = folder / "torch.txt"
    constraint.write_text(f"{torch}\n")
    lowest = folder / "lowest.txt"
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    uv("pip", "compile", "-q", "--python", python, "--resolution", "lowest-direct",
       "--no-annotate", "--no-header", "-c", constraint, *extras, "-o", lowest,
       "pyproject.toml")  # fmt: skip
    environment = folder / "environment"
    uv("venv", "-q", "--python", python, environment)
    inside = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    uv("pip", "install", "-q", "--python", inside, "-r", lowest, *TOOLS)
    uv("pip", "install", "-q", "--python", inside, "--no-deps", "--no-build-isolation", "-e", ".")
    say("  " + lowest.read_text().replace("\n", " "))
    tests = subprocess.run([inside, "-m", "pytest", *TESTS], cwd=ROOT)  # noqa: S603 our own command
    return tests.returncode == 0


def main() -> int:
    """Check every Python, or those that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", action="append", help="only this version, 3.11 for example")
    options = parser.parse_args()
    missing = [path for path in TESTS if not (ROOT / path).exists()]
    if missing:
        raise SystemExit(f"tests that are not there: {', '.join(missing)}; edit TESTS")
    torch = f"torch=={version('torch')}"
    failed = []
    for number, python in pythons():
        if options.python and number not in options.python:
            continue
        say(f"Python {number}")
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            if not check(python, torch, Path(folder)):
                failed.append(number)
        say(f"  {time.monotonic() - started:.0f} s")
    if failed:
        say(f"failed with the lowest versions on Python {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
