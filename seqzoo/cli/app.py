"""The verbs together, those of plugins included, and errors of one line."""

import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from seqzoo.cli import (
    check,
    compare,
    doctor,
    evaluate,
    import_weights,
    info,
    list_models,
    new_plugin,
    plugins,
    pull,
    push,
    recommend,
    train,
    verify,
)
from seqzoo.cli.output import complain, logs_on_stderr, write
from seqzoo.cli.parsing import SeveralValues, UsageError, explain
from seqzoo.cli.plugin_commands import commands_of_plugins
from seqzoo.errors import SeqzooError, nearest
from seqzoo.version import __version__

INTERRUPTED = 130


class Verbs(TyperGroup):
    """seqzoo's own verbs first, then those of plugins; a verb that does not load hides no other."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All verbs, in the order of the help."""
        return [*super().list_commands(ctx), *commands_of_plugins()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A verb by its name; one of a plugin is imported only when it runs."""
        return super().get_command(ctx, cmd_name) or commands_of_plugins().get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that the command line names, or the nearest one in an error."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"unknown command '{args[0]}'{nearest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


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


app.command("list", epilog=list_models.EXAMPLE)(list_models.list_models)
app.command("info", epilog=info.EXAMPLE)(info.info)
app.command("recommend", epilog=recommend.EXAMPLE, cls=SeveralValues)(recommend.recommend)
app.command("eval", epilog=evaluate.EXAMPLE)(evaluate.evaluate)
app.command("compare", epilog=compare.EXAMPLE)(compare.compare)
app.command("train", epilog=train.EXAMPLE)(train.train)
app.command("import", epilog=import_weights.EXAMPLE)(import_weights.import_weights)
app.command("push", epilog=push.EXAMPLE)(push.push)
app.command("pull", epilog=pull.EXAMPLE)(pull.pull)
app.command("verify", epilog=verify.EXAMPLE)(verify.verify)
app.command("plugins", epilog=plugins.EXAMPLE)(plugins.plugins)
app.command("new-plugin", epilog=new_plugin.EXAMPLE)(new_plugin.new_plugin)
app.command("check", epilog=check.EXAMPLE)(check.check)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.doctor)


def run(words: Sequence[str]) -> int:
    """Run one command line; a user's mistake is one line on stderr, never a traceback.

    Args:
        words: what follows ``seqzoo`` on the command line.

    Returns:
        The exit code.
    """
    command = typer.main.get_command(app)
    with logs_on_stderr(), warnings.catch_warnings():
        # What libraries will change some day is nothing that the user of a command can act on.
        for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", category)
        try:
            code = command.main(list(words), prog_name="seqzoo", standalone_mode=False)
            return code if isinstance(code, int) else 0
        except UsageError as error:
            complain(explain(error, words))
            return SeqzooError.exit_code
        except SeqzooError as error:
            complain(str(error))
            # Ctrl-C may end in an error that says what is lost; it is still Ctrl-C.
            stopped = isinstance(error.__context__, KeyboardInterrupt)
            return INTERRUPTED if stopped else error.exit_code
        except OSError as error:
            place = f": {error.filename}" if error.filename else ""
            complain(f"{error.strerror or error}{place}")
            return SeqzooError.exit_code
        except (typer.Abort, KeyboardInterrupt):
            return INTERRUPTED
