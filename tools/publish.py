"""Publish every checkpoint of ``model_cards/`` on the Hub and pin what was published.

``python tools/publish.py --org ORG --dry-run`` shows what would be sent. Without ``--dry-run``
every folder becomes a public repository of the organisation, and ``seqzoo/pins.json`` records its
commit and the sha256 of its ``config.json``. A repository that is up to date gets no commit, so an
interrupted run is resumed by running the command again.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import seqzoo
from seqzoo.checkpoint.card_metadata import is_start, start_of
from seqzoo.checkpoint.hub.address import HubAddress, repository_address
from seqzoo.checkpoint.manifest import Manifest, read_manifest, read_recipe
from seqzoo.checkpoint.pins_file import PINS, Pin, read_pins, render_pins, use_pins
from seqzoo.errors import CheckpointError, SeqzooError, UsageError
from seqzoo.storage.atomic import LOCK_SECONDS, try_lock

CARDS = Path(__file__).parent.parent / "model_cards"


@dataclass(frozen=True)
class Publication:
    """A checkpoint, the repository that it is published in, and what it was fine-tuned from.

    ``base`` is the name of another one that is published.
    """

    name: str
    folder: Path
    address: HubAddress
    base: str | None = None


def publications(cards: Path, org: str, pattern: str) -> list[Publication]:
    """The checkpoints whose names match a pattern, each after the one it was fine-tuned from.

    Raises:
        UsageError: there are none, a name does not begin with the architecture, or two checkpoints
            would share a repository.
    """
    found: dict[str, Manifest] = {}
    addresses = {}
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
            found[name] = manifest = read_manifest(config.parent)
            addresses[name] = address
            if not name.startswith(f"{manifest.architecture}-"):
                raise UsageError(
                    f"{config.parent} has the architecture '{manifest.architecture}'; expected a "
                    f"name that begins with '{manifest.architecture}-'"
                )
    if not found:
        raise UsageError(f"no checkpoint in {cards} has a name like '{pattern}'")
    bases = {name: _base_of(manifest, found) for name, manifest in found.items()}
    return [
        Publication(name, cards / name, addresses[name], bases[name])
        for name in sorted(found, key=lambda name: (len(_bases_before(name, bases)), name))
    ]


def _base_of(manifest: Manifest, others: dict[str, Manifest]) -> str | None:
    source, sha256 = start_of(read_recipe(manifest))
    matching = [
        name for name, each in others.items() if is_start(source, sha256, name, each.sha256)
    ]
    return matching[0] if matching else None


def _bases_before(name: str, bases: dict[str, str | None]) -> list[str]:
    """What a checkpoint was fine-tuned from, and what that was fine-tuned from, and so on."""
    before: list[str] = []
    base = bases[name]
    while base is not None and base not in before:  # names that go round in a circle end it
        before.append(base)
        base = bases[base]
    return before


def publish(cards: Path, org: str, pattern: str, pins_file: Path, *, dry_run: bool) -> None:
    """Publish checkpoints one by one; each is pinned before the next one is published."""
    planned = publications(cards, org, pattern)
    use_pins(pins_file)
    if not dry_run:
        # Where the pins cannot be written, nothing is sent.
        with locked(pins_file):
            write(pins_file, render_pins(read_pins(pins_file)))
    else:
        read_pins(pins_file)
    # Everything is loaded and compared first, so that nothing is sent if any of them has a fault.
    compared = [
        seqzoo.push(each.folder, each.address.repo, private=False, dry_run=True) for each in planned
    ]
    for number, (each, pushed) in enumerate(zip(planned, compared, strict=True), 1):
        if dry_run:
            what = f"would get {', '.join(pushed.changed)}" if pushed.changed else "is up to date"
        else:
            # The card names the base's repository, which may only now have been pinned.
            if pushed.changed or each.base is not None:
                pushed = seqzoo.push(each.folder, each.address.repo, private=False)
            what = f"got {', '.join(pushed.changed)}" if pushed.changed else "is up to date"
            pin(pins_file, each.name, Pin(each.address.repo, pushed.commit or "", pushed.sha256))
        say(f"{number}/{len(planned)} {each.name}: {pushed.address} {what}")


def pin(path: Path, name: str, published: Pin) -> None:
    """Add a pin to the file; another run may have added others in the meantime.

    Raises:
        CheckpointError: the file cannot be read or written.
    """
    with locked(path):
        write(path, render_pins({**read_pins(path), name: published}))
    use_pins(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file's folder, which ends with the process.

    Raises:
        CheckpointError: another process holds it for ``LOCK_SECONDS``, or there is no such folder.
    """
    try:
        descriptor = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        until = time.monotonic() + LOCK_SECONDS
        while try_lock(descriptor) is False:
            if time.monotonic() > until:
                raise CheckpointError(
                    f"{path}: another process has been writing here for {LOCK_SECONDS:.0f} s; wait "
                    "for it and run the same command again"
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def write(path: Path, text: str) -> None:
    """Replace a file atomically; raises ``CheckpointError`` if the system refuses."""
    incoming = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        incoming.write_text(text, "utf-8")
        incoming.replace(path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        incoming.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"{path}: the pins cannot be written: {error.strerror or type(error).__name__}; mend that "
        "and run the same command again, which sends nothing twice"
    )


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
