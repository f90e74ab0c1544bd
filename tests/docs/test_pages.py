"""The code of the documentation pages and of SKILL.md runs as it stands, offline."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUNNABLE = ("console", "python")
ELSEWHERE = {
    "docs/hub.md": "needs a repository on the Hub; tests/hub has one",
    "docs/plugin-api.md": "a signature without a body",
    "docs/write-a-plugin.md": "run by tests/scaffold/test_tutorial.py, in a fresh environment",
}


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str


def blocks(text):
    return [Block(*found) for found in _BLOCK.findall(text)]


def pages():
    """Pages with code that can run, by their path from the root."""
    found = [ROOT / "SKILL.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = [
        page.relative_to(ROOT).as_posix()
        for page in found
        if any(block.language in RUNNABLE for block in blocks(page.read_text("utf-8")))
    ]
    return [name for name in names if name not in ELSEWHERE]


def run(text, folder):
    """Run ``console`` lines as commands of seqzoo and ``python`` blocks in one namespace."""
    names = {"__name__": "__main__"}
    for number, block in enumerate(blocks(text), 1):
        if block.language == "python":
            exec(compile(block.text, f"block {number}", "exec"), names)
        elif block.language == "console":
            for line in block.text.splitlines():
                command(line, folder)


def command(line, folder):
    prompt, program, *words = shlex.split(line)
    assert (prompt, program) == ("$", "seqzoo"), f"not a command of seqzoo: {line}"
    done = subprocess.run(
        [sys.executable, "-m", "seqzoo", *words],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", pages())
def test_the_code_of_a_page_runs(page, empty_folder):
    run((ROOT / page).read_text("utf-8"), empty_folder)


def test_pages_with_code_are_found():
    assert {"SKILL.md", "docs/index.md", "docs/train-on-your-own-file.md"} <= set(pages())
    assert all((ROOT / page).is_file() for page in ELSEWHERE)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nassert False\n```\n",
        "```console\n$ seqzoo info no-such-model\n```\n",
        "```console\nseqzoo list\n```\n",
    ],
)
def test_code_that_fails_is_noticed(text, empty_folder):
    with pytest.raises(AssertionError):
        run(text, empty_folder)


def test_every_block_of_the_skill_runs():
    languages = {block.language for block in blocks((ROOT / "SKILL.md").read_text("utf-8"))}
    assert languages == {"python", "console"}


def test_the_skill_says_what_it_is_for():
    _, front, _ = (ROOT / "SKILL.md").read_text("utf-8").split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in front.splitlines())
    assert fields["name"] == "seqzoo"
    assert 100 < len(fields["description"]) < 1024
