"""``seqzoo list`` and ``seqzoo info``."""

import json
import subprocess
import sys

import pytest


def test_the_listing_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from seqzoo.cli.app import run\n"
        "assert run(['list']) == 0\n"
        "heavy = ('torch', 'numpy', 'polars', 'accelerate', 'omegaconf', 'huggingface_hub')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_the_real_command_lists_as_json(process):
    answer = process("list", "--json")
    assert answer.code == 0
    assert {model["name"] for model in json.loads(answer.out)} >= {"mamba4rec", "sasrec"}


def test_the_json_has_the_keys_of_the_contract(seqzoo):
    models = json.loads(seqzoo("list", "--json").out)
    keys = {"name", "kind", "architecture", "plugin", "bundled", "parameters", "bytes", "data"}
    assert all(keys | {"metrics", "claims"} <= model.keys() for model in models)
    assert {model["kind"] for model in models} == {"architecture", "checkpoint"}
    (sasrec,) = (model for model in models if model["name"] == "sasrec")
    assert sasrec["claims"]["causal"] is True


def test_patterns_and_kinds(seqzoo):
    def names(*words):
        return [model["name"] for model in json.loads(seqzoo("list", *words, "--json").out)]

    assert names("mamba4*", "--architectures") == ["mamba4rec"]
    assert names("mamba4*c-ml1?", "--pretrained") == ["mamba4rec-ml1m"]
    assert names("nothing*") == []
    answer = seqzoo("list", "ml1m")
    assert (answer.code, answer.out) == (0, "")
    assert "try '*ml1m*'" in answer.err


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_table_fits(seqzoo, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = seqzoo("list").out.splitlines()
    table = lines[: lines.index("")]
    assert max(map(len, table)) <= columns
    assert all(line == line.rstrip() for line in lines)
    assert ("plugin" in table[0].split()) == (columns == 140)
    for name in ("mamba4rec", "sasrec", "mamba4rec-ml1m"):
        assert any(line.startswith(name) for line in table)


def test_metrics_are_listed_with_their_protocol(seqzoo):
    rows = [line.split() for line in seqzoo("list", "sasrec-ml1m*").out.splitlines()[1:3]]
    for name, protocol in (("sasrec-ml1m", "loo-full"), ("sasrec-ml1m@recbole", "loo-recbole")):
        row = next(row for row in rows if row[0] == name)
        measured = json.loads(seqzoo("info", name, "--json").out)["metrics"][protocol]
        assert row[-3:] == [protocol, f"{measured['hit@10']:.4f}", f"{measured['ndcg@10']:.4f}"]


def test_piped_tables_are_as_wide_as_they_need_and_plain(seqzoo):
    answer = seqzoo("list")
    assert "\x1b" not in answer.out
    assert "…" not in answer.out
    assert "plugin" in answer.out.splitlines()[0]


def test_a_summary_of_an_architecture(seqzoo):
    out = seqzoo("info", "sasrec").out
    assert out.startswith("sasrec, architecture (arXiv:1808.09781)")
    assert "hidden_size=64" in out
    assert "seqzoo train sasrec --data" in out


def test_a_summary_of_a_checkpoint(seqzoo, tiny):
    out = seqzoo("info", tiny).out
    for words in ("40 items, 120 users, 5-core", "loo-full-unseen", "NDCG", "@10", "causal"):
        assert words in out
    assert f"seqzoo eval {tiny}" in out


def test_the_json_of_a_checkpoint(seqzoo, tiny):
    known = json.loads(seqzoo("info", tiny, "--json").out)
    listed = {"name", "kind", "architecture", "plugin", "bundled", "parameters", "bytes", "data"}
    assert listed | {"metrics", "config", "recipe", "card", "source", "sha256"} <= known.keys()
    assert known["kind"] == "checkpoint"
    assert known["architecture"] == "sasrec"
    assert known["config"]["hidden_size"] == 16
    assert known["metrics"]["loo-full"]["ndcg@10"] > 0
    assert len(known["sha256"]) == 64


def test_the_licence_of_the_data_is_known(seqzoo, tiny):
    licences = {
        name: json.loads(seqzoo("info", name, "--json").out)["licence"]
        for name in ("sasrec", "sasrec-ml1m")
    }
    assert licences["sasrec"] is None
    assert "commercial" in licences["sasrec-ml1m"]
    assert json.loads(seqzoo("info", tiny, "--json").out)["licence"] is None
