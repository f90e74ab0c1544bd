"""The verbs that plugins bring: shown by their specs, imported when one runs."""

from typing import Any

import typer
from typer.core import TyperCommand

from seqzoo.errors import PluginError
from seqzoo.plugins import CORE, catalogue
from seqzoo.specs import CommandSpec


class PluginCommand(TyperCommand):
    """Stands for a plugin's verb until it runs."""

    def __init__(self, spec: CommandSpec) -> None:
        super().__init__(spec.name, help=spec.help or f"From the plugin '{spec.plugin}'.")
        self._spec = spec

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **more: Any) -> Any:
        """Hand over to the verb itself."""
        return _load(self._spec).make_context(info_name, args, parent, **more)


def commands_of_plugins() -> dict[str, PluginCommand]:
    """The verbs by name; none where ``SEQZOO_STRICT_PLUGINS`` makes a broken plugin an error."""
    try:
        specs = [spec for spec in catalogue().commands if spec.plugin != CORE]
        return {spec.name: PluginCommand(spec) for spec in specs}
    except PluginError:
        # `--help` and the verbs that need no plugin go on; those that do raise it themselves.
        return {}


def _load(spec: CommandSpec) -> Any:
    """The command of a function for typer, or of a whole ``typer.Typer``."""
    target = spec.load()
    try:
        if not isinstance(target, typer.Typer):
            function, target = target, typer.Typer(add_completion=False)
            target.command(spec.name)(function)
        return typer.main.get_command(target)
    except Exception as error:
        raise PluginError(
            f"plugin '{spec.plugin}' brings the command '{spec.name}' in a form that typer does "
            f"not take: {type(error).__name__}: {error}"
        ) from error
