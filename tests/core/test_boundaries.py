"""The core knows no architecture and imports no plugin; looking for plugins is cheap."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seqzoo.plugins import plugins

ROOT = Path(__file__).resolve().parents[2]
CORE = sorted((ROOT / "seqzoo").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))

# What the core offers to those who write plugins.
PUBLIC = {"config", "errors", "interfaces", "objectives", "ops", "parts", "plugins"}
PUBLIC |= {"public_weights", "registry", "testing", "data.interactions", "data.sequences"}


_WORD = re.compile(r"[a-z0-9]+(?:[@.-][a-z0-9]+)*")


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module


def test_there_is_something_to_look_at():
    assert len(CORE) > 40
    assert len(PLUGINS) >= 6


def test_the_core_imports_no_plugin():
    for path in CORE:
        for module in imported(ast.parse(path.read_text("utf-8"))):
            assert not module.startswith("seqzoo_"), f"{path} imports {module}"


def test_plugins_import_public_modules_and_not_each_other():
    for path in PLUGINS:
        own = path.relative_to(ROOT / "plugins").parts[0]
        for module in imported(ast.parse(path.read_text("utf-8"))):
            first, *rest = module.split(".")
            if first == "seqzoo":
                assert rest, path
                assert {rest[0], ".".join(rest)} & PUBLIC, f"{path} imports {module}"
            else:
                assert not first.startswith("seqzoo_") or first == own, f"{path} imports {module}"


def test_plugins_import_only_names_that_a_module_offers():
    checked = 0
    for path in PLUGINS:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("seqzoo."):
                offered = importlib.import_module(node.module).__all__
                for alias in node.names:
                    assert alias.name in offered, f"{path}:{node.lineno} imports {alias.name}"
                    checked += 1
    assert checked > 30


def _listed(path):
    """The names in a module's ``__all__``; None without one."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


def test_modules_import_from_each_other_only_names_in_all():
    checked = 0
    for path in (*CORE, *PLUGINS):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.module.partition(".")[0] != "seqzoo":
                continue
            module = ROOT.joinpath(*node.module.split("."))
            for alias in node.names:
                if (module / alias.name).exists() or (module / f"{alias.name}.py").exists():
                    continue
                source = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
                offered = _listed(source)
                assert offered is not None, f"{source} has no __all__"
                assert alias.name in offered, f"{path}:{node.lineno} imports {alias.name}"
                checked += 1
    assert checked > 500


def test_the_core_names_no_architecture():
    """Words in docstrings and examples may; a name, or a text that is one, may not."""
    catalogue = plugins().catalogue
    names = {
        spec.name
        for registry in catalogue.registries()
        for spec in registry
        if spec.plugin != "seqzoo"
    }
    # Also a word of the command line: `--on-cold popular`.
    names -= {"popular"}
    assert {"mamba4rec", "sasrec", "sasrec-ml1m"} <= names
    for path in CORE:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant):
                assert node.value not in names, f"{path}:{node.lineno} has '{node.value}'"
            if isinstance(node, ast.JoinedStr):
                # A piece without blanks makes a name: f"sasrec-{data}"; a sentence is an example.
                pieces = [str(part.value) for part in node.values if isinstance(part, ast.Constant)]
                words = {w for piece in pieces if " " not in piece for w in _WORD.findall(piece)}
                assert not words & names, f"{path}:{node.lineno} has {words & names}"
            for word in (getattr(node, "id", ""), getattr(node, "attr", "")):
                assert not any(name in word.lower() for name in ("mamba4rec", "sasrec")), (
                    f"{path}:{node.lineno} has the name {word}"
                )


def test_the_templates_of_new_plugins_name_no_architecture():
    names = {spec.name for spec in plugins().catalogue.architectures}
    templates = sorted((ROOT / "seqzoo" / "scaffold" / "templates").rglob("*.txt"))
    assert len(templates) > 20
    for path in templates:
        words = set(_WORD.findall(path.read_text("utf-8")))
        assert not words & names, f"{path} has {words & names}"


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_looking_for_plugins_imports_nothing_heavy():
    code = (
        "import json, sys, seqzoo.plugins\n"
        "found = seqzoo.plugins.plugins()\n"
        "assert {'mamba4rec', 'sasrec'} <= {r.name for r in found.records if r.status == 'ok'}\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    modules = set(json.loads(run(code)))
    assert not {"torch", "polars", "numpy", "accelerate", "omegaconf", "rich"} & modules
    assert not {
        name
        for name in modules
        if name.endswith((".backbone", ".mamba", "seqzoo.model.sequence_model"))
    }


@pytest.mark.parametrize("off", ["mamba4rec", "sasrec", "mamba4rec,sasrec"])
def test_the_core_runs_with_any_plugin_off(off):
    code = (
        "import json, seqzoo\n"
        "from seqzoo.errors import UnknownNameError\n"
        "from seqzoo.plugins import catalogue\n"
        "names = [info.name for info in seqzoo.list_models()]\n"
        "for name in ('mamba4rec', 'sasrec'):\n"
        "    try:\n"
        "        seqzoo.create(name, num_items=5, hidden_size=8)\n"
        "        names.append('made ' + name)\n"
        "    except UnknownNameError as error:\n"
        "        assert 'seqzoo plugins' in str(error)\n"
        "print(json.dumps(names))"
    )
    names = json.loads(run(code, SEQZOO_DISABLE_PLUGINS=off))
    for name in ("mamba4rec", "sasrec"):
        assert (name in names) == (f"made {name}" in names) == (name not in off.split(","))


def test_recommending_imports_no_compiler():
    code = (
        "import json, sys, seqzoo; seqzoo.load('sasrec-ml1m').recommend(['1'], k=2);"
        "print(json.dumps([name for name in sys.modules if name.startswith('torch._dynamo')]))"
    )
    assert json.loads(run(code)) == []
