"""``seqzoo similar``: the items nearest to an item."""

from dataclasses import asdict
from typing import Annotated

import typer

from seqzoo import zoo
from seqzoo.cli.options import Json
from seqzoo.cli.output import print_json
from seqzoo.cli.parsing import read_whole_number
from seqzoo.cli.recommend import DEFAULT_K, show_items


def similar(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Checkpoint, or ./folder of one.")],
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Item id of the model.")],
    k: Annotated[
        int | None,
        typer.Option(
            "-k",
            metavar="N",
            parser=read_whole_number,
            help=f"Number of items (default: {DEFAULT_K}).",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the items most similar to an item.

    The score is the cosine of the item vectors that the model has learned, -1 to 1.
    """
    model = zoo.load(name)
    found = model.similar(item, min(DEFAULT_K, len(model.vocabulary)) if k is None else k)
    if as_json:
        print_json({"model": name, "item": item, "similar": [asdict(one) for one in found]})
    else:
        show_items(found, "cosine")
