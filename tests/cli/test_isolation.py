"""Five broken plugins at once break nothing, and any first-party plugin can be missing."""

import json

import pytest

from seqzoo.plugins import plugins

HOOK = """
from seqzoo.plugins import hookimpl

@hookimpl
def seqzoo_register(zoo):
"""
BROKEN = {
    "crashes": ("import no_such_module_anywhere", "ModuleNotFoundError"),
    "exits": ("import sys; print('bye'); sys.exit(3)", "SystemExit"),
    "hooks": (HOOK + "    zoo.backbone('half', 'a.b:C', config='a.b:D', causal=True)\n    1 / 0\n",
              "ZeroDivisionError"),
    "thief": (HOOK + "    zoo.architecture('sasrec', embedder='item', backbone='x', head='y')\n",
              "already provides"),
    "future": ("seqzoo_api_version = 99\n" + HOOK + "    pass\n", "plugin API 99"),
}  # fmt: skip
LATE = (
    "import time; print('not JSON'); time.sleep(0.3)\n"
    + HOOK
    + "    zoo.metric('late', 'no_module_here:gain')\n"
    + "    zoo.command('never', 'no_module_here:run')\n"
)
FIRST_PARTY = [r.name for r in plugins().records if r.distribution == "seqzoo"]


def install(site, name, source):
    """What pip leaves behind of a plugin of one module."""
    (site / f"{name}_plugin.py").write_text(source)
    info = site / f"{name}_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[seqzoo]\n{name} = {name}_plugin\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, (source, _) in BROKEN.items():
        install(folder, name, source)
    install(folder, "late", LATE)
    return folder


@pytest.fixture
def broken(process, site):
    return lambda *words, **more: process(*words, PYTHONPATH=str(site), **more)


def test_they_are_listed_with_their_reasons(broken):
    found = {p["name"]: p for p in json.loads(broken("plugins", "--json").out)}
    for name, (_, reason) in BROKEN.items():
        assert found[name]["status"] == "broken"
        assert reason in found[name]["reason"]
        assert found[name]["distribution"] == f"{name}-plugin"
    assert found["late"]["status"] == "ok"
    # The cost of each is shown, so that users see which one is slow.
    assert 0.3 <= found["late"]["seconds"] < 5
    assert all(found[name]["status"] == "ok" for name in FIRST_PARTY)


@pytest.mark.slow
def test_every_verb_still_works(broken, tmp_path):
    out = str(tmp_path / "run")
    small = ["data.options.users=40", "model.hidden_size=8", "train.epochs=1"]
    for words in (
        ["list"],
        ["info", "mamba4rec-ml1m"],
        ["recommend", "mamba4rec-ml1m", "--history", "1", "-k", "1"],
        ["train", "gru4rec", "--data", "synthetic", "--out", out, *small],
        ["eval", out],
        ["verify", out],
        ["pull", "sasrec-ml1m"],
        ["check", "hit"],
        ["new-plugin", "mine", "--in", str(tmp_path)],
        ["train", "gru4rec", "--data", "synthetic", "--out", f"{out}-2", *small, "train.seed=1"],
        ["compare", out, f"{out}-2"],
        ["doctor"],
    ):
        answer = broken(*words, "--json")
        assert answer.code == 0, (words, answer.err)
        json.loads(answer.out)
        assert "Traceback" not in answer.err
    # The metric that cannot be imported is left out, with a message.
    assert "metric 'late' of plugin 'late' is left out" in broken("eval", out).err
    assert "never" in broken("--help").out


def test_strictness_names_them(broken):
    answer = broken("list", SEQZOO_STRICT_PLUGINS="1")
    assert answer.code == 2
    for name in BROKEN:
        assert f"{name} ({name}-plugin 1.0)" in answer.err


WITHOUT = """
import seqzoo, torch
from seqzoo.plugins import plugins
from seqzoo.testing import small_model
from seqzoo.training.loop import train
assert [r.name for r in plugins().records if r.status == "disabled"] == [{off!r}]
names = [model.name for model in seqzoo.list_models(pretrained=False)]
assert names
for name in names:
    model = small_model(name)
    assert model.recommend(["item-1", "item-2"], k=3)
for known in seqzoo.list_models(pretrained=True):
    assert seqzoo.load(known.name).recommend([seqzoo.info(known.name)["examples"][0]], k=1)
recipe = {{
    "architecture": names[0],
    "model": {{"hidden_size": 8, "max_length": 10}},
    "data": {{"source": "synthetic", "options": {{"users": 40}}, "min_count": 1}},
    "train": {{"epochs": 1}},
}}
result = train(recipe, {out!r})
assert seqzoo.evaluate(seqzoo.load({out!r}), "synthetic").drift == {{}}
print(",".join(names))
"""


@pytest.mark.parametrize(
    "off",
    [
        pytest.param(name, marks=() if name == "mamba4rec" else pytest.mark.slow)
        for name in FIRST_PARTY
    ],
)
def test_without_any_of_our_own_the_others_work(run_python, off, tmp_path):
    code = WITHOUT.format(off=off, out=str(tmp_path / "run"))
    answer = run_python(code, SEQZOO_DISABLE_PLUGINS=off)
    assert answer.code == 0, answer.err
    brought = {name.partition(" ")[2] for name in plugins().record(off).provides}
    assert not brought & set(answer.out.split(","))


@pytest.mark.slow
@pytest.mark.parametrize("off", FIRST_PARTY)
def test_without_any_of_our_own_the_others_pass_their_tests(run_python, off):
    """The suites of the other plugins, with this one switched off."""
    code = f"""
import subprocess, sys
from pathlib import Path
folders = sorted(Path("tests/plugins").glob("seqzoo_*"))
folders = [str(folder) for folder in folders if folder.name != "seqzoo_{off}"]
sys.exit(subprocess.run([sys.executable, "-m", "pytest", "-q", *folders]).returncode)
"""
    answer = run_python(code, SEQZOO_DISABLE_PLUGINS=off)
    assert answer.code == 0, answer.out + answer.err
