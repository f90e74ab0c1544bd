"""A card that people have edited on the Hub, brought together with the one of the checkpoint."""

import logging
from collections.abc import Mapping
from typing import Any

import yaml

from seqzoo.checkpoint.card import hand_written, split_card
from seqzoo.errors import CheckpointError
from seqzoo.plugins import catalogue

logger = logging.getLogger("seqzoo")


def decoded(content: bytes, where: str) -> str:
    """The text of a card; raises ``CheckpointError`` where it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CheckpointError(f"{where} is not UTF-8; save it as UTF-8 text") from None


def card_parts(text: str, where: str) -> tuple[dict[str, Any], str]:
    """Front matter and body of a card; raises as ``split_card``."""
    front, body = split_card(text, where)
    return front, body.lstrip()


def merged(here: str, there: str, ours: str, theirs: str) -> str:
    """The card here with what people have written into the one on the Hub and this one lacks."""
    (front_here, body), (front_there, body_there) = (
        card_parts(here, ours),
        card_parts(there, theirs),
    )
    kept, added = _set_by_hand(front_here), _set_by_hand(front_there)
    differ = [f"'{key}'" for key in kept if key in added and added[key] != kept[key]]
    if "license" in kept and kept["license"] != added.get("license"):
        # These belong to the licence that is not taken.
        added = {key: added[key] for key in added if key not in ("license_name", "license_link")}
    if hand_written(there) and not hand_written(here):
        body = body_there
    elif hand_written(there) not in ("", hand_written(here)):
        differ.append("hand-written text")
    if differ:
        logger.warning(
            "%s has another %s than %s, which replaces it; it stays in the history",
            theirs,
            ", ".join(differ),
            ours,
        )
    tags = _tags(front_here)
    # Those of an architecture that was there before would list the model where it does not belong.
    old = {tag.lower() for spec in catalogue().architectures for tag in (spec.name, spec.paper)}
    tags += [tag for tag in _tags(front_there) if tag not in tags and str(tag).lower() not in old]
    front = {**added, **kept, "library_name": "seqzoo", "tags": tags}
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n{body}"


def _set_by_hand(front: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that no card gets by itself, tags apart."""
    generated = {"library_name", "model-index", "tags"}
    of_data = [f"{data.name}-terms" for data in catalogue().datasets]
    if front.get("license") == "other" and front.get("license_name") in of_data:
        generated |= {"license", "license_name"}
    return {key: value for key, value in front.items() if key not in generated}


def _tags(front: Mapping[str, Any]) -> list[Any]:
    tags = front.get("tags") or []
    return list(tags) if isinstance(tags, list) else [tags]
