"""The recipe of the container, line by line, as the tests have no program that builds it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import pytest
import typer
import yaml

from seqzoo.cli.app import app
from seqzoo.plugins import catalogue
from tools.lowest_versions import PYTHONS

ROOT = Path(__file__).resolve().parents[2]
RECIPE = (ROOT / "deploy" / "Containerfile").read_text("utf-8")
INSTRUCTIONS = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN",
    "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


def read_stages():
    """The stages by name, each a list of instructions with their arguments."""
    lines = [line for line in RECIPE.splitlines() if line.strip() and not line.startswith("#")]
    stages, name = {}, ""
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, arguments = line.split(maxsplit=1)
        assert word in INSTRUCTIONS, line
        if word == "FROM":
            name = arguments.partition(" AS ")[2]
            assert name not in stages, f"two stages are called '{name}'"
            stages[name] = []
        stages[name].append((word, arguments))
    return stages


STAGES = read_stages()
BUILD, FINAL = STAGES["build"], STAGES[""]


def only(stage, word):
    (arguments,) = [given for found, given in stage if found == word]
    return arguments


def copied(stage):
    """What is copied from the checkout, with its place in the image."""
    found = {}
    for word, arguments in stage:
        if word == "COPY" and not arguments.startswith("--from="):
            *sources, place = arguments.split()
            found |= dict.fromkeys(sources, place)
    return found


def parsed(words):
    """The arguments of ``seqzoo serve``, as the command line reads them."""
    assert words[:2] == ["seqzoo", "serve"]
    group = typer.main.get_command(app)
    root = group.make_context("seqzoo", words[1:])
    _, command, rest = group.resolve_command(root, words[1:])
    return command.make_context("serve", rest, parent=root).params


def test_the_stages_have_one_python_which_is_among_those_that_are_checked():
    images = {only(stage, "FROM").partition(" AS ")[0] for stage in STAGES.values()}
    (image,) = images
    version = re.fullmatch(r"python:(\d+\.\d+)-slim", image)
    assert version
    assert version[1] in PYTHONS


def test_what_is_copied_is_there():
    for source, place in copied(BUILD).items():
        assert (ROOT / source).exists(), source
        # A folder is copied as its content, so it needs its own name.
        assert place == (source if (ROOT / source).is_dir() else "./")
    assert not copied(FINAL)
    stage, source, place = re.fullmatch(r"--from=(\S+) (\S+) (\S+)", only(FINAL, "COPY")).groups()
    assert stage in STAGES
    assert source == place
    assert f"python -m venv {source} " in BUILD[-1][1]
    assert only(FINAL, "ENV").startswith(f"PATH={place}/bin:$PATH ")


def test_the_installation_uses_the_constraints_and_the_extra():
    words = shlex.split(BUILD[-1][1].partition("&&")[2])
    assert words[1] == "install"
    constraints = words[words.index("-c") + 1]
    assert copied(BUILD)[constraints] == "./"
    assert "$PIP_OPTIONS" in words
    assert ("ARG", 'PIP_OPTIONS=""') in BUILD
    extra = re.fullmatch(r"\.\[(\w+)\]", words[-1])[1]
    assert extra in metadata("seqzoo").get_all("Provides-Extra")


def test_the_command_is_one_of_ours():
    words = json.loads(only(FINAL, "ENTRYPOINT"))
    given = parsed([*words, *json.loads(only(FINAL, "CMD"))])
    assert (given["host"], str(given["port"])) == ("0.0.0.0", only(FINAL, "EXPOSE"))
    (name,) = given["names"]
    assert catalogue().pretrained.get(name).package == "seqzoo", "a checkpoint of the wheel"


def test_the_example_in_the_recipe_and_in_the_guide_is_one_of_ours():
    entry = json.loads(only(FINAL, "ENTRYPOINT"))
    guide = (ROOT / "docs" / "how-to" / "serve.md").read_text("utf-8")
    for text in (re.sub(r"^#\s*", "", RECIPE, flags=re.MULTILINE), guide):
        example = re.search(r"^podman run (.*\\\n.*)$", text, re.MULTILINE)[1]
        words = shlex.split(example.replace("\\\n", " "))
        given = parsed([*entry, *words[words.index("seqzoo-service") + 1 :]])
        mounted = {volume.split(":")[1] for volume in words if volume.count(":") >= 1}
        (name,) = given["names"]
        assert name.partition("=")[2] in mounted
        assert str(Path(given["store"]).parent) in mounted
        assert str(Path(given["store"]).parent) == only(FINAL, "VOLUME")


def test_it_runs_as_a_user_without_privileges():
    user = only(FINAL, "USER")
    created = next(text for word, text in FINAL if word == "RUN")
    number = re.search(rf"useradd .*--uid (\d+) {user}\b", created)[1]
    assert f"chown {user} {only(FINAL, 'VOLUME')}" in created
    # Nothing is executed as root after it.
    assert [word for word, _ in FINAL][::-1].index("USER") < [word for word, _ in FINAL][
        ::-1
    ].index("RUN")
    documents = yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text("utf-8"))
    pod = next(each for each in documents if each["kind"] == "StatefulSet")["spec"]["template"]
    assert pod["spec"]["securityContext"]["runAsUser"] == int(number) > 0


def test_the_health_check_asks_the_service(service):
    _, program, code = json.loads(only(FINAL, "HEALTHCHECK").partition(" CMD ")[2])
    assert program == "-c"
    inside = f"http://127.0.0.1:{only(FINAL, 'EXPOSE')}"
    assert inside in code

    def check(address):
        words = [sys.executable, "-c", code.replace(inside, address)]
        return subprocess.run(words, capture_output=True).returncode

    assert check(service.address) == 0
    assert check(f"{service.address}/nowhere") != 0
    # Nothing listens there.
    assert check("http://127.0.0.1:9") != 0


def test_it_stops_as_the_service_is_stopped(serve, checkpoint):
    assert only(FINAL, "STOPSIGNAL") == "SIGTERM"
    running = serve(checkpoint, "--drain", "0")
    assert running.stop() == 0


@pytest.mark.slow
def test_the_package_is_whole_without_the_rest_of_the_checkout(tmp_path):
    """A wheel of what is copied has the files of a wheel of the checkout."""
    pytest.importorskip("hatchling")
    for source in copied(BUILD):
        where = ROOT / source
        (shutil.copytree if where.is_dir() else shutil.copy)(where, tmp_path / source)
    names = []
    for root, out in ((ROOT, tmp_path / "whole"), (tmp_path, tmp_path / "part")):
        words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
        subprocess.run(words, cwd=root, check=True, capture_output=True)
        (wheel,) = out.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names.append(sorted(archive.namelist()))
    assert names[0] == names[1]
    assert len(set(names[1])) == len(names[1])
