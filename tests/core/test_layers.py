"""Dependencies run one way: the layers of CONTRIBUTING.md, from the imports of the files."""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seqzoo.plugins import core_catalogue

PACKAGE = Path(__file__).resolve().parents[2] / "seqzoo"

LAYERS = [
    ["__main__"],
    ["cli"],
    ["serving"],
    # Above the models: the conformance kit builds, trains and verifies whole ones.
    ["testing", "scaffold"],
    ["zoo"],
    ["tuning"],
    ["training"],
    ["evaluation"],
    ["model"],
    ["checkpoint"],
    ["objectives"],
    ["data"],
    # Below the data: prepared data are files that are written and checked as checkpoints are.
    ["storage"],
    ["parts"],
    ["ops"],
    [
        "builtin",
        "builtin_datasets",
        "config",
        "errors",
        "hookspecs",
        "interfaces",
        "metric_names",
        "notebook",
        "plugins",
        "public_weights",
        "registrar",
        "registry",
        "specs",
        "topk",
        "validation",
        "version",
    ],
]
"""From the top down; members of one list may import each other, without loops."""


@dataclass(frozen=True)
class Arrow:
    """One import of our own: file and line, and the module that is imported.

    ``text`` is the text that names the module, if it is not an import statement.
    """

    path: Path
    line: int
    source: str
    target: str
    text: str = ""

    def __str__(self) -> str:
        place = "/".join(self.path.parts[-2:])
        return f"{place}:{self.line} {self.source} -> {self.target}"


def modules_of(package: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def is_type_checking(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def imports_of(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports at any depth, those for type checking alone left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif is_type_checking(child):
            for statement in child.orelse:
                yield from imports_of(ast.Module([statement], []))
        else:
            yield from imports_of(child)


BUILTIN = "seqzoo.builtin"
"""What the core registers is data: whoever uses a registered name resolves its target."""

_NAME = re.compile(r"(seqzoo(?:\.\w+)+)(?::\w*|\.)?")


def docstrings(tree: ast.AST) -> set[int]:
    """Texts that stand alone as a statement: the docstrings of modules, functions and names."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def named_modules(tree: ast.AST, modules: dict[str, Path]) -> Iterator[tuple[int, str, str]]:
    """Modules of ours that a text names: line, module and text.

    The rule: a text that is nothing but the name of a module, alone or before an attribute
    (``module``, ``module:attribute``, ``module.attribute``, or the beginning of one), counts as an
    import of that module, wherever it stands outside docstrings. The name of the package alone is
    also that of the distribution and of the logger: it counts where ``import_module`` is called.
    """
    ignored = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = None if id(node) in ignored else _NAME.fullmatch(node.value)
            name = match[1] if match else ""
            while "." in name and name not in modules:
                name = name.rpartition(".")[0]
            if "." in name:
                yield node.lineno, name, node.value
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            name = getattr(node.args[0], "value", None)
            if called in ("import_module", "__import__") and name == "seqzoo":
                yield node.lineno, name, name


def registered_targets() -> set[str]:
    """The lazy targets of everything that the core registers."""
    return {
        value
        for registry in core_catalogue().registries()
        for spec in registry
        for value in vars(spec).values()
        if isinstance(value, str) and _NAME.fullmatch(value)
    }


def arrows_of(package: Path, registered: Collection[str] = ()) -> list[Arrow]:
    """All arrows but those of ``BUILTIN`` to what is registered."""
    modules = modules_of(package)
    found = []
    for source, path in modules.items():
        tree = ast.parse(path.read_text("utf-8"))
        found += [
            Arrow(path, line, source, target, text)
            for line, target, text in named_modules(tree, modules)
            if target != source
            and not (source == BUILTIN and any(each.startswith(text) for each in registered))
        ]
        for node in imports_of(tree):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            else:
                assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
                base = node.module or ""
                # `from package import module` imports the module, `from module import name` not.
                targets = [
                    f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base
                    for alias in node.names
                ]
            found += [
                Arrow(path, node.lineno, source, target)
                for target in dict.fromkeys(targets)
                if target in modules and target != source
            ]
    return found


def layer_of(module: str) -> int:
    if "." not in module:
        return 0  # the package re-exports everything, so importing it imports everything
    first = module.split(".")[1]
    for number, names in enumerate(LAYERS):
        if first in names:
            return number
    raise AssertionError(f"{module} belongs to no layer: add it to LAYERS where it belongs")


def upward(arrows: list[Arrow]) -> list[Arrow]:
    """Arrows from a lower layer to a higher one."""
    return [arrow for arrow in arrows if layer_of(arrow.source) > layer_of(arrow.target)]


def loops(arrows: list[Arrow]) -> list[list[str]]:
    """Groups of files that import each other, directly or by way of others (Tarjan)."""
    graph: dict[str, list[str]] = {}
    for arrow in arrows:
        graph.setdefault(arrow.source, []).append(arrow.target)
        graph.setdefault(arrow.target, [])
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph[node]:
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_nothing_imports_upwards():
    arrows = arrows_of(PACKAGE, registered_targets())
    assert len(arrows) > 200
    assert any(arrow.text for arrow in arrows)
    assert not upward(arrows), "\n".join(map(str, upward(arrows)))


def test_no_two_files_import_each_other_in_a_loop():
    arrows = arrows_of(PACKAGE, registered_targets())
    assert not loops(arrows)


def test_every_module_has_a_layer():
    for module in modules_of(PACKAGE):
        if "." in module:
            layer_of(module)


def plant(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "seqzoo"
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_a_planted_upward_import_inside_a_function_is_found(tmp_path):
    package = plant(
        tmp_path,
        {
            "__init__.py": "",
            "zoo.py": "",
            "data/__init__.py": "",
            "data/read.py": "def read():\n    from seqzoo.zoo import load\n",
        },
    )
    (arrow,) = upward(arrows_of(package))
    assert str(arrow) == "data/read.py:2 seqzoo.data.read -> seqzoo.zoo"


def test_a_planted_loop_through_a_function_is_found(tmp_path):
    package = plant(
        tmp_path,
        {
            "__init__.py": "",
            "model/__init__.py": "",
            "model/a.py": "from seqzoo.model import b\n",
            "model/b.py": "def late():\n    import seqzoo.model.c\n",
            "model/c.py": "import seqzoo.model.a\n",
        },
    )
    assert loops(arrows_of(package)) == [["seqzoo.model.a", "seqzoo.model.b", "seqzoo.model.c"]]


def test_imports_for_type_checking_alone_do_not_count(tmp_path):
    package = plant(
        tmp_path,
        {
            "__init__.py": "",
            "zoo.py": "",
            "data/__init__.py": "",
            "data/read.py": (
                "from typing import TYPE_CHECKING\n"
                "if TYPE_CHECKING:\n    from seqzoo.zoo import load\n"
            ),
        },
    )
    assert not upward(arrows_of(package))


def test_docstrings_do_not_count(tmp_path):
    files = {
        "__init__.py": "",
        "zoo.py": "",
        "data/__init__.py": "",
        "data/read.py": "HOME = 1\n'seqzoo.zoo'\n\ndef read():\n    'seqzoo.zoo:load'\n",
    }
    assert not upward(arrows_of(plant(tmp_path, files)))


def test_a_planted_loop_through_a_table_is_found(tmp_path):
    files = {
        "__init__.py": "",
        "ops/__init__.py": "",
        "ops/choice.py": "TABLE = {'scan': ('seqzoo.ops.scan:torch_scan', None)}\n",
        "ops/scan.py": "from seqzoo.ops.choice import TABLE\n",
    }
    assert loops(arrows_of(plant(tmp_path, files))) == [["seqzoo.ops.choice", "seqzoo.ops.scan"]]


@pytest.mark.parametrize(
    "body",
    [
        "from seqzoo import load",
        "import seqzoo",
        "import importlib\n    importlib.import_module('seqzoo.zoo')",
        "target = 'seqzoo.zoo:load'",
        "name = 'load'\n    return f'seqzoo.zoo:{name}'",
        "module = 'seqzoo.zoo'\n    return f'{module}:load'",
        "homes = {'load': 'seqzoo.zoo'}\n    return import_module(homes['load'])",
        "homes = [('load', 'seqzoo.zoo.load')]",
        "read(where='seqzoo.zoo')",
        "return 'seqzoo.zoo'",
    ],
)
@pytest.mark.parametrize("file", ["data/read.py", "ops/backends.py", "plugins.py", "builtin.py"])
def test_a_planted_way_around_is_found(tmp_path, body, file):
    files = {
        "__init__.py": "",
        "zoo.py": "",
        "data/__init__.py": "",
        "ops/__init__.py": "",
        file: f"def read():\n    {body}\n",
    }
    package = plant(tmp_path, files)
    assert upward(arrows_of(package, registered_targets()))


def test_the_table_of_the_core_may_name_only_what_it_registers(tmp_path):
    known = "seqzoo.cli.info:info"
    assert known in registered_targets()
    files = {
        "__init__.py": "",
        "cli/__init__.py": "",
        "cli/info.py": "",
        "builtin.py": f"VERB = {known!r}\nOTHER = 'seqzoo.cli.info:other'\n",
        "plugins.py": f"VERB = {known!r}\n",
    }
    found = upward(arrows_of(plant(tmp_path, files), registered_targets()))
    assert [str(arrow) for arrow in found] == [
        "seqzoo/builtin.py:2 seqzoo.builtin -> seqzoo.cli.info",
        "seqzoo/plugins.py:1 seqzoo.plugins -> seqzoo.cli.info",
    ]


DYNAMIC = {"seqzoo", "seqzoo.evaluation", "seqzoo.ops.probe", "seqzoo.specs"}
"""Modules that import by a name from a table or a spec; such names are found where they stand."""


def computed_imports(package: Path) -> list[str]:
    """Imports by a name that is put together, relative or, outside ``DYNAMIC``, not a constant."""
    found = []
    for module, path in modules_of(package).items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            place = f"{module}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom) and node.module == "importlib":
                found += [place for each in node.names if each.asname]
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if called not in ("import_module", "__import__"):
                continue
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                allowed = not name.value.startswith(".")
            else:
                allowed = module in DYNAMIC and isinstance(name, ast.Name | ast.Subscript)
            if not allowed:
                found.append(place)
    return found


def test_no_name_of_a_module_is_put_together():
    assert not computed_imports(PACKAGE)


@pytest.mark.parametrize(
    "body",
    [
        "import_module('.zoo', 'seqzoo')",
        "import_module(f'seqzoo.{name}')",
        "import_module('seqzoo.' + name)",
        "import_module(name)",
        "__import__('seqzoo.' + name)",
        "from importlib import import_module as other",
    ],
)
def test_a_planted_name_that_is_put_together_is_found(tmp_path, body):
    package = plant(tmp_path, {"__init__.py": "", "zoo.py": f"def read(name):\n    {body}\n"})
    assert computed_imports(package) == ["seqzoo.zoo:2"]
