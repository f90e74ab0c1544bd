"""The verbs, built from the registered commands; a verb's module is imported only when it runs."""

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from seqzoo.cli.output import write
from seqzoo.cli.parsing import spread
from seqzoo.cli.stdout import lent
from seqzoo.cli.threads import allow_threads
from seqzoo.errors import PluginError, error_text, nearest
from seqzoo.plugins import CORE, catalogue, core_catalogue
from seqzoo.specs import CommandSpec

__all__ = [
    "Group",
    "LazyVerb",
    "SeveralValues",
    "Verb",
    "help_option",
    "load_verb",
    "registered_verbs",
]


class Group(TyperGroup):
    """A list of verbs, or a verb with commands of its own: ``typer.Typer(cls=Group)``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the command line names, or an error that shows the nearest one."""
        known = self.list_commands(ctx)
        if not args[0].startswith("-") and args[0] not in known:
            ctx.fail(f"unknown command '{args[0]}'{nearest(args[0], known)}")
        return super().resolve_command(ctx, args)

    def get_help_option(self, ctx: Any) -> Any:
        """``--help``, written like every other answer."""
        return help_option(super().get_help_option(ctx))


class Verb(TyperCommand):
    """The command of a verb that is a function.

    Its help shows the metavar of an argument as it is, in the usage line, and without brackets and
    dots in the list of arguments; typer would add the Python type: ``NAME <list[str]>``.
    """

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line after the command's name."""
        pieces = []
        for parameter in self.get_params(ctx):
            own = parameter.metavar if parameter.param_type_name == "argument" else None
            pieces += [own] if own else parameter.get_usage_pieces(ctx)
        return ["[OPTIONS]", *pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the options with their help."""
        rows: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            kind = parameter.param_type_name
            if record is not None:
                own = parameter.metavar if kind == "argument" else None
                rows[kind].append((own.strip("[].") if own else record[0], record[1]))
        for title, records in zip(("Arguments", "Options"), rows.values(), strict=True):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def get_help_option(self, ctx: Any) -> Any:
        """``--help``, written like every other answer."""
        return help_option(super().get_help_option(ctx))


class SeveralValues(Verb):
    """A verb whose repeatable options take several values: ``--history 1 260 1196 -k 5``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse ``--history 1 260`` as ``--history=1 --history=260``."""
        repeatable = [
            option
            for parameter in self.params
            if getattr(parameter, "multiple", False)
            for option in parameter.opts
        ]
        return list(super().parse_args(ctx, spread(args, repeatable)))


class LazyVerb(TyperCommand):
    """A placeholder for a registered verb until it runs or shows its own help."""

    def __init__(self, spec: CommandSpec) -> None:
        super().__init__(spec.name, help=spec.help or f"From the plugin '{spec.plugin}'.")
        self._spec = spec

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **more: Any) -> Any:
        """Import the verb and let it parse its own arguments."""
        verb = load_verb(self._spec)
        if self._spec.plugin != CORE and parent is not None:
            # All output of a plugin's verb is its answer, and its work may run in threads.
            parent.with_resource(lent())
            allow_threads()
        return verb.make_context(info_name, args, parent, **more)


def registered_verbs() -> dict[str, LazyVerb]:
    """All verbs by name: seqzoo's own in the order of the help, then those of plugins."""
    try:
        found = catalogue()
    except PluginError:
        # SEQZOO_STRICT_PLUGINS=1 and a broken plugin. `--help` keeps working; a verb that needs
        # the plugins raises the error itself.
        found = core_catalogue()
    return {spec.name: LazyVerb(spec) for spec in found.commands.in_order()}


def load_verb(spec: CommandSpec) -> Any:
    """Import the command of a verb, which is a function for typer or a whole ``typer.Typer``.

    Raises:
        PluginError: the target cannot be imported, or typer cannot make a command of it.
    """
    target = spec.load()
    try:
        if not isinstance(target, typer.Typer):
            function, target = target, typer.Typer(add_completion=False, rich_markup_mode=None)
            target.command(
                spec.name,
                cls=SeveralValues if spec.several_values else Verb,
                help=None if function.__doc__ else spec.help,
                epilog=spec.epilog,
            )(function)
        return typer.main.get_command(target)
    except Exception as error:
        raise PluginError(
            f"the command '{spec.name}' of plugin '{spec.plugin}' is not a valid typer command: "
            f"{error_text(error)}"
        ) from error


def help_option(option: Any) -> Any:
    """The parser's own ``--help``, with its text written by ``write``."""
    if option is not None:
        option.callback = _show_help
    return option


def _show_help(context: Any, _: Any, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        write(context.get_help() + "\n")
        context.exit()
