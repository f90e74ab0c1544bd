"""``seqzoo import``: a checkpoint from the weights of another implementation."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from seqzoo.cli.options import Json, Quiet
from seqzoo.cli.output import as_model, command, facts, log_from, print_json, show

EXAMPLE = (
    "\b\nExample:\n"
    "seqzoo import SASRec.pth --architecture sasrec --vocabulary items.txt --out runs/theirs\n"
    "A vocabulary has the item ids in index order, one on each line."
)


def import_weights(
    file: Annotated[Path, typer.Argument(help="State dict: .safetensors, or .pth of tensors.")],
    architecture: Annotated[
        str, typer.Option(metavar="NAME", help="Whose weights they are; see `seqzoo list`.")
    ],
    vocabulary: Annotated[
        Path, typer.Option(metavar="FILE", help="Item ids in index order; text or JSON.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the new checkpoint.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL.KEY=VALUE", help="Settings of the model that weights do not tell."
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring in weights of RecBole's or the papers' own code; nothing in the file is executed."""
    log_from(logging.ERROR if quiet else logging.INFO)
    from seqzoo.cli.parsing import UsageError
    from seqzoo.config import parse_overrides
    from seqzoo.model.import_weights import import_weights as read
    from seqzoo.model.import_weights import save_imported

    sections = parse_overrides(settings or [])
    if set(sections) - {"model"}:
        raise UsageError(f"settings of {', '.join(sections)} were given; an import takes model.*")
    model, assumed = read(
        file,
        architecture=architecture,
        vocabulary=vocabulary,
        settings=sections.get("model"),
    )
    save_imported(out, model)
    taken = {name: model.config[name] for name in assumed}
    if as_json:
        print_json(
            {
                "out": str(out),
                "architecture": architecture,
                "items": len(model.vocabulary),
                "parameters": model.num_parameters,
                "assumed": taken,
            }
        )
        return
    name = as_model(out)
    shown = ", ".join(f"{key}={value}" for key, value in taken.items())
    show(
        f"imported: {model.num_parameters:,} parameters for {len(model.vocabulary):,} items; "
        f"{out} holds the checkpoint",
        *([f"assumed, as nothing in the weights tells: {shown}"] if shown else []),
        "",
        facts(
            [
                (
                    "use",
                    command(
                        "seqzoo", "recommend", name, "--history", *list(model.vocabulary.items[:3])
                    ),
                ),
                ("measure", command("seqzoo", "eval", name, "--data", "PATH")),
            ]
        ),
    )
