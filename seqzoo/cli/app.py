"""The command line: every registered verb, and errors in one line."""

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Annotated, Any, TextIO

import typer

from seqzoo.cli.commands import Group, LazyVerb, registered_verbs
from seqzoo.cli.output import complain, logs_on_stderr, write
from seqzoo.cli.parsing import ParserError, explain
from seqzoo.cli.stdout import answers_to, lent
from seqzoo.errors import SeqzooError
from seqzoo.version import __version__

__all__ = ["INTERRUPTED", "Verbs", "app", "run"]

INTERRUPTED = 130
_COMPLETION = "_SEQZOO_COMPLETE"
"""The variable by which a shell asks for completions."""


class Verbs(Group):
    """The group of all registered verbs."""

    @cached_property
    def verbs(self) -> dict[str, LazyVerb]:
        """The verbs by name, in the order of the help."""
        return registered_verbs()

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all verbs, in the order of the help."""
        return list(self.verbs)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A verb by its name; None if there is none."""
        return self.verbs.get(cmd_name)

    def main(self, *args: Any, **more: Any) -> Any:
        """Parse and run; a shell that asks for completions reads them from stdout."""
        with lent() if _COMPLETION in os.environ else nullcontext():
            return super().main(*args, **more)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before the verb, some of which print."""
        with lent():
            return list(super().parse_args(ctx, args))


app = typer.Typer(
    name="seqzoo",
    cls=Verbs,
    help="A model zoo for sequential recommendation: list, try, check and train models.",
    epilog="Example:  seqzoo recommend mamba4rec-ml1m --history 1 260 1196 -k 5",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        write(f"seqzoo {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")


def run(words: Sequence[str], stdout: TextIO | None = None) -> int:
    """Run one command line; a user's mistake is one line on stderr, never a traceback.

    Args:
        words: what follows ``seqzoo`` on the command line.
        stdout: stream for the answer; None for ``sys.stdout``.

    Returns:
        The exit code.
    """
    command = typer.main.get_command(app)
    with answers_to(stdout or sys.stdout), logs_on_stderr(), warnings.catch_warnings():
        # Users of a command cannot act on deprecation warnings of libraries.
        for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", category)
        try:
            code = command.main(list(words), prog_name="seqzoo", standalone_mode=False)
            return code if isinstance(code, int) else 0
        except ParserError as error:
            complain(explain(error, words))
            return SeqzooError.exit_code
        except SeqzooError as error:
            complain(str(error))
            # After Ctrl-C, an error that says what is lost still counts as Ctrl-C.
            stopped = isinstance(error.__context__, KeyboardInterrupt)
            return INTERRUPTED if stopped else error.exit_code
        except OSError as error:
            file = f": {error.filename}" if error.filename else ""
            complain(f"{error.strerror or error}{file}")
            return SeqzooError.exit_code
        except (typer.Abort, KeyboardInterrupt):
            return INTERRUPTED
