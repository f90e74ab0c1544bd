"""Publish every checkpoint of ``model_cards/`` on the Hub and pin what was published.

``python tools/publish.py --org ORG --dry-run`` shows what would be sent. Without ``--dry-run``
every folder becomes a public repository of the organisation, and ``seqzoo/pins.json`` records its
commit and the sha256 of its ``config.json``. A repository that is up to date gets no commit, so an
interrupted run is resumed by running the command again.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import seqzoo
from seqzoo.checkpoint.hub.address import HubAddress, repository_address
from seqzoo.checkpoint.manifest import read_manifest
from seqzoo.checkpoint.pins_file import PINS, Pin, read_pins, render_pins
from seqzoo.errors import SeqzooError, UsageError

CARDS = Path(__file__).parent.parent / "model_cards"


@dataclass(frozen=True)
class Publication:
    """A checkpoint and the repository that it is published in."""

    name: str
    folder: Path
    address: HubAddress


def publications(cards: Path, org: str, pattern: str) -> list[Publication]:
    """The checkpoints whose names match a pattern, with their repositories.

    Raises:
        UsageError: there are none, a name does not begin with the architecture, or two checkpoints
            would share a repository.
    """
    found = []
    by_repo: dict[str, str] = {}
    for config in sorted(cards.glob("*/config.json")):
        name = config.parent.name
        # '@' marks a version in a registered name; the Hub does not allow it in the name of a
        # repository, and a revision follows it in an address.
        address = repository_address(f"{org}/{name.replace('@', '-')}")
        # The Hub ignores the case of names.
        other = by_repo.setdefault(address.repo.lower(), name)
        if other != name:
            raise UsageError(f"'{other}' and '{name}' would share {address.repo}; rename one")
        if fnmatchcase(name, pattern):
            architecture = read_manifest(config.parent).architecture
            if not name.startswith(f"{architecture}-"):
                raise UsageError(
                    f"{config.parent} has the architecture '{architecture}'; expected a name that "
                    f"begins with '{architecture}-'"
                )
            found.append(Publication(name, config.parent, address))
    if not found:
        raise UsageError(f"no checkpoint in {cards} has a name like '{pattern}'")
    return found


def publish(cards: Path, org: str, pattern: str, pins_file: Path, *, dry_run: bool) -> None:
    """Publish checkpoints one by one; each is pinned before the next one is published."""
    planned = publications(cards, org, pattern)
    pins = read_pins(pins_file)
    # Everything is loaded and compared first, so that nothing is sent if any of them has a fault.
    compared = [
        seqzoo.push(each.folder, each.address.repo, private=False, dry_run=True) for each in planned
    ]
    for number, (each, pushed) in enumerate(zip(planned, compared, strict=True), 1):
        what = "is up to date"
        if pushed.changed and dry_run:
            what = f"would get {', '.join(pushed.changed)}"
        elif pushed.changed:
            pushed = seqzoo.push(each.folder, each.address.repo, private=False)
            what = f"got {', '.join(pushed.changed)}"
        if not dry_run:
            pins[each.name] = Pin(each.address.repo, pushed.commit or "", pushed.sha256)
            write(pins_file, render_pins(pins))
        say(f"{number}/{len(planned)} {each.name}: {pushed.address} {what}")


def write(path: Path, text: str) -> None:
    """Replace a file atomically."""
    incoming = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        incoming.write_text(text, "utf-8")
        incoming.replace(path)
    finally:
        incoming.unlink(missing_ok=True)


def say(text: str) -> None:
    """Report progress at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Publish, or with ``--dry-run`` only show what would be sent."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="*", help="names, with shell wildcards")
    parser.add_argument("--org", required=True, help="organisation or user on the Hub")
    parser.add_argument("--dry-run", action="store_true", help="send nothing, write no pins")
    parser.add_argument("--cards", type=Path, default=CARDS, help="the folder of the checkpoints")
    parser.add_argument("--pins", type=Path, default=PINS, help="the file of the pins")
    given = parser.parse_args()
    try:
        publish(given.cards, given.org, given.pattern, given.pins, dry_run=given.dry_run)
    except SeqzooError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to resume\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
