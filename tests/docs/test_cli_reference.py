"""docs/reference/cli.md is what the commands' own help says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "cli.md"


def update(*words):
    command = [sys.executable, "tools/update_cli_reference.py", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_page_is_current():
    done = update("--check")
    assert done.returncode == 0, done.stderr


def test_every_verb_is_on_the_page():
    text = PAGE.read_text("utf-8")
    for verb in ("list", "recommend", "train", "new-plugin", "doctor"):
        assert f"\n## seqzoo {verb}\n" in text


PAGES = ["README.md", "SKILL.md", "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
FENCED = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
CALL = re.compile(r"(?:^|[\s/])seqzoo (?=[a-z])([^\n#|&]*)", re.MULTILINE)


def unknown_words(text):
    """Verbs and options in commands of seqzoo that the page of the command line does not have."""
    help_of = dict(
        re.findall(r"^## seqzoo (\S+)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.S)
    )
    code = "\n".join([*FENCED.findall(text), *CODE.findall(FENCED.sub("", text))])
    found = []
    for words in CALL.findall(code.replace("\\\n", " ")):
        verb, *rest = words.split()
        options = [re.match(r"--?[a-z-]+", word)[0] for word in rest if re.match(r"--?[a-z]", word)]
        if verb not in help_of:
            found.append(verb)
        else:
            known = re.findall(r"--?[a-z][a-z-]*", help_of[verb].partition("Options:")[2])
            found += [f"{verb} {option}" for option in options if option not in known]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: Path(page).name)
def test_commands_on_other_pages_exist(page):
    assert not unknown_words((ROOT / page).read_text("utf-8"))


def test_a_command_that_does_not_exist_is_noticed():
    text = "```sh\nSEQZOO_BACKEND=torch seqzoo evaluate a --data b\n```\n`seqzoo list --all`\n"
    assert unknown_words(text) == ["evaluate", "list --all"]


def test_a_page_that_differs_is_noticed_and_mended(tmp_path):
    page = tmp_path / "cli.md"
    page.write_text(PAGE.read_text("utf-8").replace("--json", "--jason", 1))
    done = update("--check", "--page", str(page))
    assert done.returncode == 1
    assert "is out of date: python tools/update_cli_reference.py" in done.stderr
    assert update("--page", str(page)).returncode == 0
    assert page.read_text("utf-8") == PAGE.read_text("utf-8")
