"""Write docs/reference/cli.md from the commands' own ``--help``.

``python tools/update_cli_reference.py`` rewrites the page, ``--check`` only says whether it is
current. Commands of third-party plugins that happen to be installed are left out.
"""

import argparse
import io
import os
import sys
from pathlib import Path

from seqzoo.cli.app import run
from seqzoo.plugins import catalogue

# Help is as wide as the terminal, and plugins add commands: neither belongs on the page.
os.environ.update({"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "SEQZOO_PLUGINS": ""})
PAGE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"
_INTRODUCTION = """\
# Command line

<!-- Written by tools/update_cli_reference.py from each command's own help. Do not edit. -->

Every command has `--json`, which prints one JSON document on stdout; logs and progress go to
stderr. Errors are one line. The exit code is 0 if all is well, 1 if a check failed (for example,
metrics that differ from the stored ones), 2 for wrong usage or input, and 130 after Ctrl-C.
"""


def help_of(*words: str) -> str:
    """What ``seqzoo WORDS --help`` prints."""
    answer = io.StringIO()
    if code := run([*words, "--help"], answer):
        raise SystemExit(f"seqzoo {' '.join(words)} --help exits with {code}")
    return "\n".join(line.rstrip() for line in answer.getvalue().strip("\n").splitlines())


def commands(overview: str) -> list[str]:
    """The commands in the order of the overview's own list."""
    own = {spec.name for spec in catalogue().commands if spec.plugin == "seqzoo"}
    listed = [line.split()[0] for line in overview.splitlines() if line.startswith("  ")]
    found = [name for name in dict.fromkeys(listed) if name in own]
    if set(found) != own:
        raise SystemExit(f"seqzoo --help does not list: {', '.join(sorted(own - set(found)))}")
    return found


def sections_of(name: str) -> list[str]:
    """The sections of a command and of its own commands."""
    text = help_of(name)
    listed = text.partition("\nCommands:\n")[2].partition("\n\n")[0]
    inner = [f"{name} {line.split()[0]}" for line in listed.splitlines()]
    return [
        f"## seqzoo {name}\n\n```text\n{text}\n```\n",
        *(f"### seqzoo {each}\n\n```text\n{help_of(*each.split())}\n```\n" for each in inner),
    ]


def render() -> str:
    """The whole page."""
    overview = help_of()
    sections = [text for name in commands(overview) for text in sections_of(name)]
    return "\n".join([_INTRODUCTION, f"```text\n{overview}\n```\n", *sections])


def main() -> int:
    """Rewrite the page, or with ``--check`` exit 1 if it is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 on difference")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write or check")
    options = parser.parse_args()
    wanted = render()
    if not options.check:
        options.page.write_text(wanted, "utf-8")
    elif not options.page.is_file() or options.page.read_text("utf-8") != wanted:
        sys.stderr.write(f"{options.page} is out of date: python tools/update_cli_reference.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
