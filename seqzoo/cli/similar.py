"""``seqzoo similar``: the items most similar to an item."""

from dataclasses import asdict
from typing import Annotated

import typer

from seqzoo import zoo
from seqzoo.cli.options import DEFAULT_K, Checkpoint, Json, K
from seqzoo.cli.output import print_json
from seqzoo.cli.recommend import show_items

__all__ = ["similar"]


def similar(
    name: Checkpoint,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Item id of the model.")],
    k: K = None,
    as_json: Json = False,
) -> None:
    """Show the items most similar to an item.

    The score is the cosine of the item vectors that the model has learned, -1 to 1, or the model's
    own measure where it has one (item-knn, markov).
    """
    model = zoo.load(name)
    found = model.similar(item, min(DEFAULT_K, len(model.vocabulary)) if k is None else k)
    if as_json:
        print_json({"model": name, "item": item, "similar": [asdict(one) for one in found]})
    else:
        show_items(found, "score")
