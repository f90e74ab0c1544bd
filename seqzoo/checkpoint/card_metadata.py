"""The front matter of a model card: what the Hub lists and filters models by.

The Hub defines the keys. seqzoo generates some of them; all others are written by people and kept.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from seqzoo.checkpoint.card_sections import ARXIV, CardFacts, repository_page
from seqzoo.checkpoint.hub.address import SCHEME, parse_address
from seqzoo.checkpoint.pins import known_checkpoints, pin_of
from seqzoo.errors import UsageError, one_line
from seqzoo.metric_names import metric_title
from seqzoo.plugins import catalogue
from seqzoo.specs import DatasetSpec

__all__ = [
    "INDEXED",
    "base_model_of",
    "card_metadata",
    "is_start",
    "joined",
    "own_datasets",
    "set_by_hand",
    "start_of",
    "strings_of",
]

INDEXED = ("hit@10", "ndcg@10", "mrr@10")
"""The metrics that the Hub shows."""

_TAGS = ("sequential-recommendation", "recommender-system", "seqzoo")
_TASK = "sequential-recommendation"
# The Hub has no pipeline tag for recommendation, and rejects unknown ones.
_PIPELINE = "other"


def card_metadata(
    facts: CardFacts, before: Mapping[str, Any], generated_text: str
) -> dict[str, Any]:
    """The front matter of a card: generated keys are replaced, the others kept.

    Args:
        facts: content of the card.
        before: front matter of the existing card.
        generated_text: generated text of the existing card.
    """
    # Imported here because it is slow and listing checkpoints does without it.
    from huggingface_hub import ModelCardData

    dataset = facts.dataset
    known = [*catalogue().datasets, *([dataset] if dataset is not None else [])]
    kept = set_by_hand(before, generated_text, known)
    if "license" not in kept and dataset is not None and dataset.licence:
        # The Hub has no name for such terms; a section of the card states them.
        kept = _terms(dataset) | kept
    names = [] if dataset is None else [dataset.hub_id]
    tags = [*_TAGS, facts.architecture]
    tags += [f"arxiv:{number}" for number in ARXIV.findall(facts.paper)]
    results = _model_index(facts)
    base = facts.base_model
    data = ModelCardData(
        library_name="seqzoo",
        pipeline_tag=kept.pop("pipeline_tag", _PIPELINE),
        tags=joined(tags, strings_of(before, "tags")),
        datasets=joined(names, own_datasets(before, known)) or None,
        base_model=base,
        base_model_relation=None if base is None else "finetune",
        model_name=one_line(facts.name) if results else None,
        eval_results=results or None,
    )
    generated: dict[str, Any] = data.to_dict()  # type: ignore[no-untyped-call]
    return kept | generated


def set_by_hand(
    front: Mapping[str, Any], generated_text: str, known: Iterable[DatasetSpec]
) -> dict[str, Any]:
    """The keys of a front matter that people have set, without the lists that are joined.

    Args:
        front: front matter of a card.
        generated_text: generated text of the same card.
        known: data sets whose terms may have been generated.
    """
    generated = {"library_name", "model-index", "tags", "datasets"}
    if front.get("pipeline_tag") == _PIPELINE:
        generated.add("pipeline_tag")
    terms = [_terms(dataset) for dataset in known]
    if front.get("license_name") in [each["license_name"] for each in terms]:
        generated.add("license_name")
        if front.get("license") == "other":
            generated.add("license")
    if front.get("license_link") in [each.get("license_link", "") for each in terms]:
        generated.add("license_link")
    base = front.get("base_model")
    if isinstance(base, str) and repository_page(base) in generated_text:
        generated |= {"base_model", "base_model_relation"}
    return {key: value for key, value in front.items() if key not in generated}


def own_datasets(front: Mapping[str, Any], known: Iterable[DatasetSpec]) -> list[str]:
    """The data sets in a front matter that people have added."""
    names = {name for dataset in known for name in (dataset.name, dataset.hub_id)}
    return [name for name in strings_of(front, "datasets") if name not in names]


def strings_of(front: Mapping[str, Any], key: str) -> list[str]:
    """The strings of a key in a front matter, which may hold one string instead of a list."""
    value = front.get(key) or []
    return [value] if isinstance(value, str) else list(value)


def joined(first: Collection[str], more: Iterable[str]) -> list[str]:
    """A list, and the strings of another one that it does not have."""
    return [*first, *(each for each in more if each not in first)]


def base_model_of(recipe: Mapping[str, Any]) -> str | None:
    """The Hub repository of the checkpoint that training started from.

    Args:
        recipe: its ``start`` is the name, the folder or the Hub address of a checkpoint, or an
            object with this as ``source`` and the ``sha256`` of its ``config.json``.

    Returns:
        ``org/name``; None if training started from new weights, or if the checkpoint is not known
        to be on the Hub.
    """
    source, sha256 = start_of(recipe)
    if source is not None and source.startswith(SCHEME):
        try:
            return parse_address(source).repo
        except UsageError:
            return None
    for spec in known_checkpoints():
        pin = pin_of(spec)
        if pin is not None and is_start(source, sha256, spec.name, pin.sha256):
            return pin.repo
    return None


def start_of(recipe: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What training started from, as the recipe has it: the source and its sha256."""
    start = recipe.get("start")
    known = start if isinstance(start, Mapping) else {"source": start}
    source, sha256 = known.get("source"), known.get("sha256")
    return source if isinstance(source, str) else None, sha256 or None


def is_start(source: str | None, sha256: str | None, name: str, sha256_of_name: str | None) -> bool:
    """Whether a checkpoint is the one that training started from.

    Args:
        source: name or folder of the start.
        sha256: of the start's ``config.json``, if the recipe has it.
        name: of the checkpoint.
        sha256_of_name: of the checkpoint's ``config.json``, if it is known.

    Returns:
        Whether the weights are the same; the name decides only where a sha256 is not known, because
        a checkpoint that is trained again keeps its name.
    """
    if sha256 is not None and sha256_of_name is not None:
        return sha256 == sha256_of_name
    return source == name


def _terms(dataset: DatasetSpec) -> dict[str, str]:
    terms = {"license": "other", "license_name": f"{dataset.name}-terms"}
    return terms | ({"license_link": dataset.terms} if dataset.terms else {})


def _model_index(facts: CardFacts) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=_TASK,
            task_name="Sequential recommendation",
            dataset_type=one_line(facts.data_id(protocol) or "own-data"),
            dataset_name=one_line(facts.data_title(protocol)),
            dataset_config=protocol,
            dataset_split="test",
            metric_type=metric,
            metric_name=metric_title(metric),
            metric_value=float(facts.values(protocol)[metric]),
        )
        for protocol in facts.metrics
        for metric in INDEXED
        if metric in facts.values(protocol)
    ]
