"""``seqzoo import``: a checkpoint from the weights of another implementation."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from seqzoo.cli.formats import as_model, command, recommend_command
from seqzoo.cli.options import Json, Quiet
from seqzoo.cli.output import log_from, print_json
from seqzoo.cli.parsing import read_model_settings
from seqzoo.cli.tables import facts, show
from seqzoo.model import import_weights as importing

__all__ = ["import_weights"]


def import_weights(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="State dict: .safetensors, or .pth of tensors."),
    ],
    architecture: Annotated[
        str, typer.Option(metavar="NAME", help="Architecture of the weights; see `seqzoo list`.")
    ],
    vocabulary: Annotated[
        Path, typer.Option(metavar="FILE", help="Item ids in index order; text or JSON.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the new checkpoint.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL.KEY=VALUE]...",
            help="Settings that cannot be inferred from the weights.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a checkpoint from the weights of another implementation.

    Each architecture's plugin supports certain implementations, for example RecBole's or the
    paper's. Nothing in the file is executed.
    """
    log_from(logging.ERROR if quiet else logging.INFO)
    model, assumed = importing.import_weights(
        file,
        architecture=architecture,
        vocabulary=vocabulary,
        settings=read_model_settings(settings or [], "import"),
    )
    importing.save_imported(out, model)
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
        f"imported: {model.num_parameters:,} parameters for {len(model.vocabulary):,} items into "
        f"{out}",
        *([f"assumed, not inferred from the weights: {shown}"] if shown else []),
        "",
        facts(
            [
                ("use", recommend_command(name, model.vocabulary.items[:3])),
                ("measure", command("seqzoo", "eval", name, "--data", "PATH")),
            ]
        ),
    )
