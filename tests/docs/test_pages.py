"""The code of the documentation pages and of SKILL.md runs unchanged, offline."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import constants

from seqzoo.cli import app as cli

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


def run(text):
    """Run ``console`` lines as commands of seqzoo and ``python`` blocks in one namespace."""
    names = {"__name__": "__main__"}
    for number, block in enumerate(blocks(text), 1):
        if block.language == "python":
            exec(compile(block.text, f"block {number}", "exec"), names)
        elif block.language == "console":
            for line in block.text.splitlines():
                command(line)


def command(line):
    """Run a command in this process, which has imported torch already."""
    prompt, program, *words = shlex.split(line)
    assert (prompt, program) == ("$", "seqzoo"), f"not a command of seqzoo: {line}"
    assert cli.run(words) == 0, line


@pytest.mark.parametrize("page", pages())
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    run((ROOT / page).read_text("utf-8"))


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
def test_code_that_fails_is_noticed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError):
        run(text)


def test_every_block_of_the_skill_runs():
    languages = {block.language for block in blocks((ROOT / "SKILL.md").read_text("utf-8"))}
    assert languages == {"python", "console"}


def test_the_skill_says_what_it_is_for():
    _, front, _ = (ROOT / "SKILL.md").read_text("utf-8").split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in front.splitlines())
    assert fields["name"] == "seqzoo"
    assert 100 < len(fields["description"]) < 1024
