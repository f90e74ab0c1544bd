"""Write the files of a new plugin."""

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from seqzoo import zoo
from seqzoo.errors import UsageError, nearest
from seqzoo.plugins import API_VERSION, catalogue
from seqzoo.specs import ArchitectureSpec
from seqzoo.version import __version__

__all__ = ["KINDS", "new_plugin"]

KINDS = {
    "backbone": "A backbone",
    "embedder": "An embedder",
    "head": "A head",
    "loss": "A loss",
    "objective": "An objective",
    "dataset": "A data set",
    "split": "A split",
    "metric": "A ranking metric",
    "protocol": "An evaluation protocol",
    "command": "A command",
}
"""What a plugin may provide, and how its summary begins."""

_TRY = {
    "dataset": "seqzoo train $base --data $name --out runs/$name",
    "split": "seqzoo eval $checkpoint --data $data --protocol $name",
    "metric": "seqzoo eval $checkpoint --data $data",
    "protocol": "seqzoo eval $checkpoint --data $data --protocol $name",
    "command": "seqzoo $name $checkpoint",
}
"""The command that tries a plugin of some kind; those of other kinds train their own recipe."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_plugin(name: str, kind: str = "backbone", folder: Path | None = None) -> Path:
    """Write a small distribution that installs and passes its own tests unchanged.

    Args:
        name: the name of the component; the distribution is called ``seqzoo-NAME``.
        kind: one of ``KINDS``.
        folder: parent of the distribution's folder; None for the current folder.

    Returns:
        The distribution's folder.

    Raises:
        UsageError: the name or the kind is invalid, or the folder exists already.
    """
    if kind not in KINDS:
        raise UsageError(
            f"unknown kind of plugin '{kind}'{nearest(kind, KINDS)}; expected one of: "
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
    # A plugin that registers a taken name would be broken.
    for registry in catalogue().registries():
        if name in registry:
            raise UsageError(
                f"the name '{name}' is taken by a {registry.kind} of plugin "
                f"'{registry.get(name).plugin}'; choose another"
            )
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
        paths = {"tests.py": f"tests/test_{module}.py", "recipe.yaml": "recipe.yaml"}
        written[paths.get(target, f"{module}/{target}")] = _filled(template, values)
    for target, text in written.items():
        path = home / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return home


def _values(name: str, kind: str) -> dict[str, str]:
    """What the templates of a kind refer to."""
    values = {
        "name": name,
        "distribution": f"seqzoo-{name}",
        "module": f"seqzoo_{name.replace('-', '_')}",
        "Class": "".join(word.capitalize() for word in name.split("-")),
        "architecture": name,
        "summary": f"{KINDS[kind]} '{name}'",
        "seqzoo": __version__,
        "api": str(API_VERSION),
    }
    if kind in ("embedder", "head", "loss", "objective", "dataset"):
        base = _base(kind)
        values["base"] = base.name
        values["backbone"] = base.backbone
        values["architecture"] = f"{base.name}-{name}"
    if kind in ("split", "metric", "protocol", "command"):
        values.update(_checkpoint(kind))
    train = "seqzoo train recipe.yaml --out runs/$name"
    values["try_it"] = Template(_TRY.get(kind, train)).substitute(values)
    return values


def _base(kind: str) -> ArchitectureSpec:
    """An installed architecture whose parts go with a new one: plain, causal and streaming."""
    for spec in catalogue().architectures:
        backbone = catalogue().backbones.get(spec.backbone)
        plain = (spec.embedder, spec.head) == ("item", "tied-softmax") and not backbone.uses_time
        if plain and backbone.causal and backbone.streaming:
            return spec
    raise UsageError(
        f"a plugin of kind '{kind}' is tried with a streaming architecture that has the embedder "
        "'item' and the head 'tied-softmax', and none is installed; `seqzoo plugins` shows those "
        "that are switched off"
    )


def _checkpoint(kind: str) -> dict[str, str]:
    """An installed checkpoint, its data and its number of items."""
    for model in zoo.list_models(pretrained=True):
        if model.bundled and model.data:
            items = zoo.info(model.name)["items"]
            return {"checkpoint": model.name, "data": model.data, "items": str(items)}
    raise UsageError(
        f"a plugin of kind '{kind}' is tried with a checkpoint, and none is installed; "
        "`seqzoo plugins` shows the plugins that are switched off"
    )


def _filled(template: Traversable, values: dict[str, str]) -> str:
    return Template(template.read_text("utf-8")).substitute(values)
