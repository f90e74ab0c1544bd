"""Write the files of a new plugin."""

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from seqzoo.errors import UsageError, nearest
from seqzoo.plugins import API_VERSION, catalogue
from seqzoo.version import __version__

KINDS = {
    "backbone": "A backbone",
    "embedder": "An embedder",
    "head": "A head",
    "loss": "A loss",
    "dataset": "A data set",
    "metric": "A ranking metric",
    "protocol": "An evaluation protocol",
    "command": "A command",
}
"""What a plugin may bring, and how its summary begins."""

_TRY = {
    "dataset": "seqzoo train gru4rec --data $name --out runs/$name",
    "metric": "seqzoo eval mamba4rec-ml1m --data ml-1m",
    "protocol": "seqzoo eval mamba4rec-ml1m --data ml-1m --protocol $name",
    "command": "seqzoo $name mamba4rec-ml1m",
}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_plugin(name: str, kind: str = "backbone", folder: Path | None = None) -> Path:
    """Write a small distribution that installs and passes its own tests unchanged.

    Args:
        name: of what it brings; the distribution is called ``seqzoo-NAME``.
        kind: one of ``KINDS``.
        folder: where the distribution's own folder is made; here where None.

    Returns:
        The distribution's folder.

    Raises:
        UsageError: the name or the kind cannot be taken, or the folder is there already.
    """
    if kind not in KINDS:
        raise UsageError(
            f"a plugin of kind '{kind}' cannot be written{nearest(kind, KINDS)}; expected one of: "
            f"{', '.join(KINDS)}"
        )
    name = name.removeprefix("seqzoo-")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot be a plugin's name; expected lower-case letters, digits and single "
            "'-', linrec for example"
        )
    if keyword.iskeyword(name.capitalize()):
        raise UsageError(f"'{name}' cannot be a plugin's name: it is a keyword of Python")
    _require_free(name)
    home = (folder or Path()) / f"seqzoo-{name}"
    if home.exists():
        raise UsageError(f"{home} already exists; choose another name or move it away")
    values = _values(name, kind)
    module = values["module"]
    templates = files("seqzoo.scaffold") / "templates"
    written = {
        "pyproject.toml": _filled(templates / "common" / "pyproject.toml.txt", values),
        "README.md": _filled(templates / "common" / "README.md.txt", values),
        f"{module}/py.typed": "",
    }
    for template in sorted((templates / kind).iterdir(), key=lambda entry: entry.name):
        target = template.name.removesuffix(".txt")
        place = {"tests.py": f"tests/test_{module}.py", "recipe.yaml": "recipe.yaml"}
        written[place.get(target, f"{module}/{target}")] = _filled(template, values)
    for target, text in written.items():
        path = home / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return home


def _values(name: str, kind: str) -> dict[str, str]:
    module = f"seqzoo_{name.replace('-', '_')}"
    own = kind == "backbone"
    values = {
        "name": name,
        "distribution": f"seqzoo-{name}",
        "module": module,
        "Class": "".join(word.capitalize() for word in name.split("-")),
        "architecture": name if own else f"gru4rec-{name}",
        "summary": f"{KINDS[kind]} '{name}'",
        "seqzoo": __version__,
        "api": str(API_VERSION),
    }
    train = "seqzoo train recipe.yaml --out runs/$name"
    values["try_it"] = Template(_TRY.get(kind, train)).substitute(values)
    return values


def _require_free(name: str) -> None:
    """A name that is taken would make the new plugin a broken one."""
    for registry in catalogue().registries():
        if name in registry:
            raise UsageError(
                f"the name '{name}' is taken by a {registry.kind} of plugin "
                f"'{registry.get(name).plugin}'; choose another"
            )


def _filled(template: Traversable, values: dict[str, str]) -> str:
    return Template(template.read_text("utf-8")).substitute(values)
