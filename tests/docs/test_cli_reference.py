"""docs/reference/cli.md is what the commands' own help says."""

import subprocess
import sys
from pathlib import Path

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


def test_a_page_that_differs_is_noticed_and_mended(tmp_path):
    page = tmp_path / "cli.md"
    page.write_text(PAGE.read_text("utf-8").replace("--json", "--jason", 1))
    done = update("--check", "--page", str(page))
    assert done.returncode == 1
    assert "is out of date: python tools/update_cli_reference.py" in done.stderr
    assert update("--page", str(page)).returncode == 0
    assert page.read_text("utf-8") == PAGE.read_text("utf-8")
