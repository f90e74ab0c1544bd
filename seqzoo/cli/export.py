"""``seqzoo export``: a folder that recommends without torch."""

from dataclasses import asdict
from typing import Annotated

import typer

from seqzoo import zoo
from seqzoo.cli.options import Checkpoint, Json, Quiet
from seqzoo.cli.output import note, print_json

__all__ = ["export"]


def export(
    name: Checkpoint,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Folder to write: new, empty or an earlier export.")
    ],
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="Quantise the weights of the ONNX files to 8 bits, for smaller files."
        ),
    ] = False,
    programs: Annotated[
        bool,
        typer.Option("--programs", help="Also write .pt2 files, which torch.export.load reads."),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a model as ONNX files with a runner that needs no torch.

    The folder contains history.onnx (whole histories), recommend.onnx (the best items), event.onnx
    (one event of a session, if the model streams), the vocabulary, a manifest with hashes, and
    runner.py, which needs only onnxruntime and numpy. Before the folder is written, the results of
    all files are compared with those of the model.
    """
    from seqzoo.serving.export.write import export as write
    from seqzoo.serving.export.write import require_extra

    require_extra()
    exported = write(zoo.load(name), out, int8=int8, programs=programs)
    if as_json:
        print_json({"model": name, **asdict(exported)})
    elif not quiet:
        how = "whole histories and single events" if exported.streaming else "whole histories"
        note(
            f"{exported.out}: {len(exported.files)} files, {exported.bytes / 1e6:.1f} MB, {how}, "
            f"opset {exported.opset}; largest difference from the model "
            f"{exported.max_difference:.1e}, {exported.agreement:.1%} of its 10 best items"
        )
        note(f"try: python {exported.out}/runner.py --history ITEM ... -k 5")
