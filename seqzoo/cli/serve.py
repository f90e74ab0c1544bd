"""``seqzoo serve``: an HTTP service of one model or several."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from seqzoo.cli.options import CHECKPOINT_HELP, Device, Json
from seqzoo.cli.output import note, print_json
from seqzoo.cli.parsing import read_whole_number
from seqzoo.errors import UsageError

__all__ = ["TOKEN", "serve"]

TOKEN = "SEQZOO_TOKEN"  # noqa: S105 - the name of a variable

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help=f"{CHECKPOINT_HELP} TITLE=NAME serves it under the name TITLE."
        ),
    ],
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="N", parser=read_whole_number, help="Port; 0 chooses a free one."),
    ] = 8000,
    store: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="SQLite file for sessions (default: in memory only)."),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=f"File with the token that clients must send (default: variable {TOKEN}).",
        ),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=read_whole_number,
            help="Maximum number of requests that are scored together; 1 turns batching off.",
        ),
    ] = 64,
    waiting: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=read_whole_number,
            help="Maximum number of waiting requests; further ones get the status 503.",
        ),
    ] = 1024,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Time limit for receiving a request, and separately for answering it.",
        ),
    ] = 10.0,
    drain: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Time for which the service keeps answering after SIGTERM."
        ),
    ] = 2.0,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Log only warnings and errors.")
    ] = False,
) -> None:
    """Serve models over HTTP, with user sessions.

    The interface is documented at /docs. A model is loaded again when the checkpoint in its folder
    changes. SIGHUP loads all models again.
    """
    _require_extra()
    from seqzoo.serving.service.app import Service
    from seqzoo.serving.service.limits import Limits
    from seqzoo.serving.service.served import ServedModel, split_name
    from seqzoo.serving.service.server import listen, run
    from seqzoo.serving.service.telemetry import Metrics, log_to_stderr

    for option, value in (("--batch", batch), ("--waiting", waiting), ("--timeout", timeout)):
        if not 0 < value <= 1_000_000:
            raise UsageError(f"{option} is {value:g}; expected more than 0")
    if len({split_name(name)[0] for name in names}) < len(names):
        raise UsageError(f"a model is named twice: {' '.join(names)}; name each once")
    token = _token(token_file)
    if host not in _LOOPBACK and token is None:
        note(f"warning: other machines can reach {host}, and there is no token (--token-file)")
    limits, metrics = Limits(batch=batch, waiting=waiting, seconds=timeout), Metrics()
    sock = listen(host, port)
    log_to_stderr(logging.WARNING if quiet else logging.INFO)
    models = [
        ServedModel(
            name,
            limits,
            store=store,
            device=device,
            observe=metrics.batches_of(split_name(name)[0]),
        )
        for name in names
    ]
    service = Service(models, limits, metrics, token=token)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{sock.getsockname()[1]}"

    def ready() -> None:
        if as_json:
            print_json(
                {"address": address, "models": [model.name for model in models], "store": store}
            )
        else:
            note(f"serving {', '.join(names)} at {address} (interface: {address}/docs)")

    run(service, [sock], drain_seconds=drain, ready=ready)


def _require_extra() -> None:
    try:
        import fastapi
        import fastapi_offline
        import prometheus_client
        import uvicorn
    except ImportError as error:
        raise UsageError(
            f"serving needs {error.name}, which is not installed: pip install 'seqzoo[serve]'"
        ) from None
    del fastapi, fastapi_offline, prometheus_client, uvicorn


def _token(path: str | None) -> str | None:
    """The token that clients must send, from a file or the environment; None for none."""
    if path is None:
        return os.environ.get(TOKEN) or None
    try:
        token = Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {path} cannot be read: {error}") from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"--token-file {path} holds no token; expected one word of ASCII")
    return token
