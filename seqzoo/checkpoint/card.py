"""``README.md`` of a checkpoint: the model card, with generated blocks and hand-written text.

A generated block is enclosed by ``<!-- seqzoo:generated NAME -->`` and
``<!-- /seqzoo:generated -->``. Generating a card again replaces these blocks and keeps all other
text. A block that was removed is not added again.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from seqzoo.checkpoint.card_metadata import base_model_of, card_metadata
from seqzoo.checkpoint.card_sections import CardFacts, data_name, section_texts
from seqzoo.checkpoint.schemas import CardFrontMatter
from seqzoo.errors import CheckpointError
from seqzoo.plugins import catalogue
from seqzoo.storage.documents import check
from seqzoo.storage.plain_yaml import parse_yaml

if TYPE_CHECKING:
    from seqzoo.checkpoint.record import Checkpoint  # imports torch, which cards do without

__all__ = [
    "card_of",
    "generated_text",
    "hand_written",
    "has_generated_blocks",
    "joined_card",
    "model_card",
    "split_card",
]

_FRONT_MATTER = re.compile(
    r"\A(?:[ \t]*\r?\n)*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)
_BLOCK = re.compile(
    r"<!-- seqzoo:generated ([a-z-]+) -->(?:(?!<!-- seqzoo:generated ).)*?"
    r"<!-- /seqzoo:generated -->",
    re.DOTALL,
)
_LONGEST_FRONT_MATTER = 1 << 16


def card_of(
    checkpoint: "Checkpoint", *, name: str, source: str, curve: str | None, existing: str | None
) -> str:
    """The card of a checkpoint, with the facts that its architecture and data set register.

    Args:
        checkpoint: read or rendered.
        name: name of the model, the title of the card.
        source: the argument for ``seqzoo.load``.
        curve: file name of the training curve in the card's folder, if there is one.
        existing: the existing card, whose hand-written text is kept.

    Raises:
        CheckpointError: the existing card's front matter cannot be read.
    """
    everything = catalogue()
    manifest = checkpoint.manifest
    spec = everything.architectures.get(manifest.architecture)
    data = data_name(checkpoint.recipe, checkpoint.metrics)
    facts = CardFacts(
        name=name,
        architecture=manifest.architecture,
        paper=spec.paper,
        description=spec.description,
        config=manifest.config,
        recipe=checkpoint.recipe,
        metrics=checkpoint.metrics,
        vocabulary_size=len(checkpoint.vocabulary),
        parameters=checkpoint.num_parameters,
        size=manifest.size,
        dataset=everything.datasets.get(data) if data and data in everything.datasets else None,
        source=source,
        example=checkpoint.vocabulary.items[:3],
        published=tuple(spec.published_for(manifest.config)),
        curve=curve,
        distribution=manifest.plugin["distribution"],
        base_model=base_model_of(checkpoint.recipe),
        features=tuple(checkpoint.item_features.kinds) if checkpoint.item_features else (),
        timed=everything.backbones.get(spec.backbone).uses_time,
        query_timed=everything.backbones.get(spec.backbone).uses_query_time,
    )
    return model_card(facts, existing)


def model_card(facts: CardFacts, existing: str | None = None) -> str:
    """The text of a model card.

    Args:
        facts: content of the card.
        existing: the existing card, whose hand-written text is kept.

    Raises:
        CheckpointError: the existing card's front matter cannot be read.
    """
    before, body = split_card(existing or "")
    front = card_metadata(facts, before, generated_text(body))
    blocks = {
        key: f"<!-- seqzoo:generated {key} -->\n{text.strip()}\n<!-- /seqzoo:generated -->"
        for key, text in section_texts(facts).items()
    }
    if has_generated_blocks(body):
        body = _BLOCK.sub(lambda found: blocks.get(found[1], found[0]), body)
    else:
        body = "\n\n".join([*([body.strip()] if body.strip() else []), *blocks.values()]) + "\n"
    return joined_card(front, body.lstrip())


def has_generated_blocks(text: str) -> bool:
    """Whether a card has a block that is replaced when the card is generated again."""
    return _BLOCK.search(text) is not None


def generated_text(body: str) -> str:
    """The generated blocks in the body of a card."""
    return "\n".join(found[0] for found in _BLOCK.finditer(body))


def hand_written(text: str) -> str:
    """The hand-written text of a card: its body without the generated blocks."""
    return "\n".join(_BLOCK.sub("", _FRONT_MATTER.sub("", text, count=1)).split())


def split_card(text: str, where: str = "README.md") -> tuple[dict[str, Any], str]:
    """Front matter and body of a card.

    Args:
        text: the card.
        where: its name in error messages.

    Raises:
        CheckpointError: the front matter is too long or is not plain YAML with keys and values.
    """
    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}, text
    source, remedy = f"the front matter of {where}", "correct the text between the lines of dashes"
    if len(found[1]) > _LONGEST_FRONT_MATTER:
        raise CheckpointError(
            f"{source} has {len(found[1])} characters, expected at most {_LONGEST_FRONT_MATTER}; "
            "shorten the text between the lines of dashes"
        )
    front = parse_yaml(source, found[1].encode(), dates=False, remedy=remedy) or {}
    check(source, front, CardFrontMatter, remedy)
    return front, text[found.end() :]


def joined_card(front: Mapping[str, Any], body: str) -> str:
    """The text of a card from its front matter and its body; the inverse of ``split_card``."""
    text = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{text}---\n\n{body}"
