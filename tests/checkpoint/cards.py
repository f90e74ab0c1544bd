"""Cards of an invented checkpoint."""

from seqzoo.checkpoint.card import model_card
from seqzoo.checkpoint.card_sections import CardFacts
from seqzoo.specs import DatasetSpec
from tests.samples import METRICS, RECIPE

DATASET = DatasetSpec(
    "toy",
    "seqzoo",
    url="https://example.org/toy.zip",
    licence="research use",
    terms="https://example.org/terms",
    citation="A. Author. 2020. https://doi.org/10/a_b",
    description="Toy-1K: a thousand events",
)


def card(existing=None, **changes) -> str:
    facts = {
        "name": "linrec-toy",
        "architecture": "linrec",
        "paper": "arXiv:2403.03900",
        "description": "a linear recurrence",
        "config": {"max_length": 200},
        "recipe": RECIPE,
        "metrics": METRICS,
        "vocabulary_size": 3416,
        "parameters": 123_456,
        "size": 2_000_000,
        "dataset": DATASET,
        "example": ["1", "it's 2"],
    }
    facts |= changes
    return model_card(CardFacts(**{"source": facts["name"], **facts}), existing)
