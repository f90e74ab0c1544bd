"""What the two wheels bring, and what a fresh environment outside the checkout lists and loads."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest

from seqzoo.version import __version__

from .conftest import CARDS, NAMES, ROOT

RECOMMEND = """
import json, sys, seqzoo
answers = {}
for info in seqzoo.list_models(pretrained=True):
    model = seqzoo.load(info.name)
    items = model.vocabulary.items
    answers[info.name] = [entry.item for entry in model.recommend(list(items[:3]), k=5)]
    assert set(answers[info.name]) <= set(items)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def cards_wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(CARDS)], check=True)
    (wheel,) = folder.glob("seqzoo_model_cards-*.whl")
    return wheel


def checkpoints_in(wheel, package):
    """The files of each checkpoint in a wheel, with their contents; and all other files."""
    found, others = {}, set()
    with zipfile.ZipFile(wheel) as archive:
        for path in archive.namelist():
            if not path.startswith(f"{package}/model_cards/"):
                others.add(path)
                continue
            name, file = path.split("/")[2:]
            found.setdefault(name, {})[file] = archive.read(path)
    return found, others


def test_each_checkpoint_is_whole_in_exactly_one_wheel(seqzoo_wheel, cards_wheel):
    small, _ = checkpoints_in(seqzoo_wheel, "seqzoo")
    large, others = checkpoints_in(cards_wheel, "seqzoo_model_cards")
    assert not small.keys() & large.keys()
    assert sorted(small.keys() | large.keys()) == NAMES
    for name, files in {**small, **large}.items():
        assert files == {path.name: path.read_bytes() for path in (CARDS / name).iterdir()}
    # Nothing else but the plugin.
    assert {path for path in others if ".dist-info/" not in path} == {
        "seqzoo_model_cards/__init__.py"
    }


def test_the_wheels_are_small_enough(seqzoo_wheel, cards_wheel):
    assert seqzoo_wheel.stat().st_size < 40_000_000
    assert cards_wheel.stat().st_size < 100_000_000


def test_the_checkpoints_require_the_seqzoo_of_their_version(cards_wheel):
    with zipfile.ZipFile(cards_wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(path).decode())
    assert metadata["Version"] == __version__
    assert metadata.get_all("Requires-Dist") == [f"seqzoo=={__version__}"]


def test_every_folder_is_a_checkpoint():
    folders = sorted(path.name for path in CARDS.iterdir() if path.is_dir())
    assert folders == NAMES


def listed(environment, **variables):
    models = json.loads(environment.seqzoo("list", "--pretrained", "--json", **variables).stdout)
    return sorted(model["name"] for model in models)


def test_every_listed_name_loads_and_recommends(environment, seqzoo_wheel):
    if importlib.util.find_spec("seqzoo_model_cards") is not None:
        pytest.skip("seqzoo-model-cards is installed here, so the fresh environment has it too")
    small = sorted(checkpoints_in(seqzoo_wheel, "seqzoo")[0])
    large = sorted(set(NAMES) - set(small))
    offline = {"HF_HUB_OFFLINE": "1"}
    fresh = environment()
    assert listed(fresh) == small
    assert sorted(json.loads(fresh.run("-c", RECOMMEND, **offline).stdout)) == small
    for name in large:
        absent = fresh.seqzoo("info", name, check=False)
        assert absent.returncode == 2
        assert absent.stderr.count("\n") == 1
        assert f"unknown model '{name}'" in absent.stderr
        assert "seqzoo-model-cards, which is not installed: run `pip install ./model_cards`" in (
            absent.stderr
        )

    fresh.install(ROOT / "model_cards")
    plugins = json.loads(fresh.seqzoo("plugins", "--json").stdout)
    (plugin,) = (each for each in plugins if each["name"] == "model-cards")
    assert (plugin["distribution"], plugin["status"]) == ("seqzoo-model-cards", "ok")
    assert plugin["provides"] == [f"checkpoint {name}" for name in large]
    assert listed(fresh) == NAMES
    answers = json.loads(fresh.run("-c", RECOMMEND, **offline).stdout)
    assert sorted(answers) == NAMES
    assert all(len(items) == 5 for items in answers.values())

    # Without its plugin an architecture's checkpoints cannot be loaded, so they are not listed.
    without = listed(fresh, SEQZOO_DISABLE_PLUGINS="sasrec")
    assert without == [name for name in NAMES if not name.startswith("sasrec-")]
    assert listed(fresh, SEQZOO_DISABLE_PLUGINS="model-cards") == small
    off = fresh.seqzoo("info", large[0], check=False, SEQZOO_DISABLE_PLUGINS="model-cards")
    assert "plugins are switched off: model-cards" in off.stderr
    assert "pip install" not in off.stderr

    fresh.pip("uninstall", "-y", "seqzoo-model-cards")
    assert listed(fresh) == small
