"""The project itself: lint, types, the README's generated parts and its plugin example."""

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import seqzoo
from seqzoo.plugins import catalogue

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def run(*command, **options):
    given = {"cwd": ROOT, "capture_output": True, "text": True, **options}
    done = subprocess.run(command, **given)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]])
def test_lint_and_types_are_clean(command):
    run(sys.executable, "-m", *command)


def test_the_generated_parts_of_the_readme_are_current():
    run(sys.executable, "tools/update_readme.py", "--check")


def code_blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_quick_start_runs_unchanged(tmp_path):
    (code,) = (block for block in code_blocks("python") if "seqzoo.load" in block)
    # Evaluating needs the data; the command-line tests do that where they are there.
    lines = [line for line in code.splitlines() if "seqzoo.evaluate(" not in line]
    users, items = ["ann", "ann", "bob"], ["1", "260", "2571"]
    views = pl.DataFrame({"user": users, "item": items, "timestamp": [1, 2, 3]})
    views.write_parquet(tmp_path / "views.parquet")
    run(sys.executable, "-c", "\n".join(lines), cwd=tmp_path)
    assert set(pl.read_parquet(tmp_path / "best.parquet")["user"]) == {"ann", "bob"}


def test_the_readme_plugin_installs_lists_and_trains(tmp_path):
    package = tmp_path / "seqzoo-average" / "seqzoo_average"
    package.mkdir(parents=True)
    first, second = (block for block in code_blocks("python") if block.startswith("# seqzoo_av"))
    (package / "__init__.py").write_text(first)
    (package / "backbone.py").write_text(second)
    (entry_points,) = code_blocks("toml")
    (package.parent / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "seqzoo-average"\nversion = "0.1.0"\n' + entry_points
    )
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
        "--no-index", "--target", str(site), str(package.parent))  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(site)}
    seqzoo = [sys.executable, "-m", "seqzoo"]
    assert "average" in run(*seqzoo, "list", env=environment)
    assert "seqzoo-average" in run(*seqzoo, "plugins", env=environment)
    out = tmp_path / "run"
    run(*seqzoo, "train", "average", "--data", "synthetic", "--out", str(out),
        "model.hidden_size=8", "train.epochs=1", env=environment)  # fmt: skip
    assert (out / "model.safetensors").is_file()
    # Without the plugin the checkpoint says what to install.
    done = subprocess.run([*seqzoo, "recommend", str(out), "--history", "i1"],
        capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2
    assert "pip install seqzoo-average" in done.stderr


def test_the_wheel_brings_the_movielens_checkpoints():
    cards = {path.parent.name for path in (ROOT / "model_cards").glob("*/config.json")}
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    brought = dict(
        re.findall(r'^"model_cards/(.+)" = "seqzoo/model_cards/(.+)"$', text, re.MULTILINE)
    )
    assert all(source == target for source, target in brought.items())
    assert set(brought) == {name for name in cards if re.search("-ml1(m|00k)(@|$)", name)}
    listed = {model.name for model in seqzoo.list_models(pretrained=True)}
    registered = {spec.name for spec in catalogue().pretrained if spec.package == "seqzoo"}
    assert set(brought) == registered <= listed


EXPECTED_IN_THE_ROOT = {
    ".ci",
    ".github",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "SKILL.md",
    "benchmarks",
    "constraints.txt",
    "deploy",
    "docs",
    "examples",
    "hatch_build.py",
    "mkdocs.yml",
    "model_cards",
    "plugins",
    "pyproject.toml",
    "seqzoo",
    "tests",
    "tools",
}


def test_nothing_stray_is_in_the_root():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: there is no git to ask for the tracked files")
    tracked = {path.partition("/")[0] for path in run("git", "ls-files").splitlines()}
    assert tracked == EXPECTED_IN_THE_ROOT


def test_the_generated_parts_of_the_cards_are_current():
    run(sys.executable, "tools/update_cards.py", "--check")
