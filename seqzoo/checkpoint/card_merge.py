"""Merge the card of a checkpoint with the card that people have edited on the Hub."""

import logging
from typing import Any

from seqzoo.checkpoint.card import generated_text, hand_written, joined_card, split_card
from seqzoo.checkpoint.card_metadata import joined, own_datasets, set_by_hand, strings_of
from seqzoo.errors import CheckpointError
from seqzoo.plugins import catalogue

__all__ = ["card_parts", "decode_card", "merge_cards"]

logger = logging.getLogger("seqzoo")


def decode_card(content: bytes, where: str) -> str:
    """The text of a card; raises ``CheckpointError`` where it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CheckpointError(f"{where} is not UTF-8; save it as UTF-8 text") from None


def card_parts(text: str, where: str) -> tuple[dict[str, Any], str]:
    """Front matter and body of a card; raises as ``split_card``."""
    front, body = split_card(text, where)
    return front, body.lstrip()


def merge_cards(here: str, there: str, ours: str, theirs: str) -> str:
    """The local card, with the text and metadata that people have added to the one on the Hub."""
    front_here, body = card_parts(here, ours)
    front_there, body_there = card_parts(there, theirs)
    known = list(catalogue().datasets)
    kept = set_by_hand(front_here, generated_text(body), known)
    added = set_by_hand(front_there, generated_text(body_there), known)
    differ = [f"'{key}'" for key in kept if key in added and added[key] != kept[key]]
    if "license" in kept and kept["license"] != added.get("license"):
        # These belong to the licence on the Hub, which is not taken.
        added = {key: added[key] for key in added if key not in ("license_name", "license_link")}
    if hand_written(there) and not hand_written(here):
        body = body_there
    elif hand_written(there) not in ("", hand_written(here)):
        differ.append("hand-written text")
    if differ:
        logger.warning(
            "%s of %s replaces that of %s, which stays in the repository's history",
            ", ".join(differ),
            ours,
            theirs,
        )
    # The tag of an earlier architecture would list the model under that one.
    old = {tag.lower() for spec in catalogue().architectures for tag in (spec.name, spec.paper)}
    theirs_too = [tag for tag in strings_of(front_there, "tags") if tag.lower() not in old]
    front = {
        **added,
        **kept,
        "library_name": "seqzoo",
        "tags": joined(strings_of(front_here, "tags"), theirs_too),
        "datasets": joined(strings_of(front_here, "datasets"), own_datasets(front_there, known)),
    }
    return joined_card(front, body)
