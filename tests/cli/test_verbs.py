"""The list of verbs: the registered commands, imported when they run or show their own help."""

import json
import re

import pytest

from seqzoo import builtin
from seqzoo.plugins import _kept_plugins, catalogue, core_catalogue, hookimpl

VERBS = core_catalogue().commands.in_order()
HEAVY = ("torch", "numpy", "polars", "accelerate", "omegaconf", "huggingface_hub")


def test_help_is_one_page_with_an_example(seqzoo):
    answer = seqzoo("--help")
    assert answer.code == 0
    assert seqzoo().out == answer.out
    assert seqzoo("-h").out == answer.out
    assert "Example:  seqzoo recommend mamba4rec-ml1m --history 1 260 1196 -k 5" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_every_registered_verb_is_in_the_help_in_order_with_its_line(seqzoo):
    _, _, listed = seqzoo("--help").out.partition("Commands:\n")
    lines = [line.split(maxsplit=1) for line in listed.splitlines()]
    assert lines[: len(VERBS)] == [[spec.name, spec.help] for spec in VERBS]
    assert all(spec.help.endswith(".") for spec in VERBS)


@pytest.mark.parametrize("spec", VERBS, ids=lambda spec: spec.name)
def test_the_help_of_a_verb_begins_with_its_registered_line(seqzoo, spec):
    answer = seqzoo(spec.name, "--help")
    assert (answer.code, answer.err) == (0, "")
    usage, empty, first, *rest = answer.out.splitlines()
    assert usage.startswith(f"Usage: seqzoo {spec.name} [OPTIONS]")
    assert (empty, first) == ("", f"  {spec.help}")
    assert any("--json" in line for line in rest)
    assert f"seqzoo {spec.name}" in answer.out.partition("Example")[2]
    assert max(map(len, answer.out.splitlines())) <= 80
    assert seqzoo(spec.name, "-h").out == answer.out
    # No types of Python, and braces around nothing: typer shows `{NAME}` and `NAME <list[str]>`.
    arguments = answer.out.partition("Arguments:")[2].partition("Options:")[0]
    assert not set("{}") & set(usage)
    assert not set("<>") & set(arguments)


def test_the_usage_shows_what_may_be_left_out_or_repeated(seqzoo):
    usages = {
        name: seqzoo(name, "--help").out.splitlines()[0] for name in ("compare", "train", "list")
    }
    assert usages == {
        "compare": "Usage: seqzoo compare [OPTIONS] NAME...",
        "train": "Usage: seqzoo train [OPTIONS] MODEL|RECIPE [SECTION.KEY=VALUE]...",
        "list": "Usage: seqzoo list [OPTIONS] [PATTERN]",
    }
    assert "\n  SECTION.KEY=VALUE  " in seqzoo("train", "--help").out


def test_eval_and_compare_share_their_options(seqzoo):
    def options(verb):
        lines = seqzoo(verb, "--help").out.partition("Options:\n")[2].partition("\n\n")[0]
        # Without spaces: where lines break depends on the widest option.
        each = re.split(r"\n(?=  -)", lines)
        return {one.split()[0].rstrip(","): "".join(one.split()) for one in each}

    ours, theirs = options("eval"), options("compare")
    assert ours.items() <= theirs.items()
    assert theirs.keys() - ours.keys() == {"--baselines", "--metric", "--plot", "--seed"}


@pytest.fixture
def greeting(monkeypatch):
    """A verb registered in ``seqzoo.builtin`` and nowhere else."""
    original = builtin.seqzoo_register

    @hookimpl
    def seqzoo_register(zoo):
        original(zoo)
        zoo.command("greet", "seqzoo_test_greeting:greet", help="Say hello.", epilog="The end.",
            several_values=True)  # fmt: skip

    monkeypatch.setattr(builtin, "seqzoo_register", seqzoo_register)
    _kept_plugins.cache_clear()
    yield
    _kept_plugins.cache_clear()


def test_a_verb_registered_in_one_place_is_listed_and_runs(seqzoo, greeting, tmp_path, monkeypatch):
    (tmp_path / "seqzoo_test_greeting.py").write_text(
        "from typing import Annotated\n"
        "import typer\n"
        "from seqzoo.cli.output import write\n"
        "def greet(name: str, word: Annotated[list[str], typer.Option()]) -> None:\n"
        '    """Say hello."""\n'
        "    write(' '.join(['hello', name, *word]))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    listed = seqzoo("--help").out
    assert listed.index("  doctor ") < listed.index("  greet       Say hello.\n")
    out = seqzoo("greet", "--help").out
    assert out.startswith("Usage: seqzoo greet [OPTIONS] ")
    assert "\n\n  Say hello.\n" in out
    assert out.endswith("\n  The end.\n")
    answer = seqzoo("greet", "--word", "a", "b", "--", "you")
    assert (answer.code, answer.out, answer.err) == (0, "hello you a b", "")


def test_the_list_of_verbs_imports_none_of_them(run_python):
    modules = [spec.target.partition(":")[0] for spec in VERBS]
    answer = run_python(
        "import json, sys\n"
        "from seqzoo.cli.app import run\n"
        "assert run(['--help']) == 0\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    loaded = set(json.loads(answer.err))
    assert not loaded & {*modules, *HEAVY, "rich"}


def test_a_verb_imports_no_other(run_python):
    answer = run_python(
        "import json, sys\n"
        "from seqzoo.cli.app import run\n"
        "assert run(['list', '--json']) == 0\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    loaded = set(json.loads(answer.err))
    modules = {spec.target.partition(":")[0] for spec in VERBS}
    assert loaded & modules == {"seqzoo.cli.list_models"}
    assert not loaded & set(HEAVY)


def test_plugins_follow_the_verbs_of_the_core():
    names = [spec.plugin for spec in catalogue().commands.in_order()]
    assert names[: len(VERBS)] == ["seqzoo"] * len(VERBS)
