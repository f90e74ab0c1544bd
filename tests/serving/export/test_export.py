"""Exported folders: the same answers as the model, without torch and seqzoo."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import seqzoo
from seqzoo.cli.export import export
from seqzoo.errors import UsageError
from seqzoo.interfaces import SequenceBatch
from seqzoo.serving.export import runner as own_runner
from seqzoo.serving.export import write
from seqzoo.serving.export.manifest import Manifest, StateEntry
from seqzoo.serving.export.runner import Recommender, RunnerError
from seqzoo.storage.fields import FileEntry
from tests.serving.export.folders import check, histories_of, isolated

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def model():
    return seqzoo.load("gru4rec-ml100k")


@pytest.fixture(scope="module", autouse=True)
def traced_once(model):
    """Tracing takes seconds, and gives the same every time."""
    whole, state = write._graphs(model, True)

    def graphs(given, programs):
        assert given.config == model.config
        return {n: c for n, c in whole.items() if programs or n.endswith(".onnx")}, state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "_graphs", graphs)
        yield


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return seqzoo.export(model, tmp_path_factory.mktemp("export") / "deployed")


def test_the_user_vectors_are_those_of_the_model(model, exported):
    assert exported.max_difference <= 1e-5
    assert exported.streaming
    check(model, exported.out)


def test_many_histories_are_computed_in_batches_of_bounded_size(model, exported, monkeypatch):
    runner = Recommender(exported.out)
    histories = histories_of(model, [1, 30, 5, 12, 30, 2, 7])
    expected = runner.recommend_many(histories, 5, exclude=[histories[0][0]])
    sizes = []
    for name in ("_history", "_best"):
        session = getattr(runner, name)

        class Counted:
            def run(self, names, given, session=session):
                sizes.append(len(next(iter(given.values()))))
                return session.run(names, given)

        monkeypatch.setattr(runner, name, Counted())
    monkeypatch.setattr(own_runner, "_PAIRS", 2 * 30**2)
    monkeypatch.setattr(own_runner, "_SCORES", 3 * len(runner.items))
    found = runner.recommend_many(histories, 5, exclude=[histories[0][0]])
    assert sizes == [2, 2, 2, 1, 3, 3, 1]
    assert [[item for item, _ in row] for row in found] == [[i for i, _ in row] for row in expected]
    sizes.clear()
    monkeypatch.setattr(own_runner, "_POSITIONS", runner.max_length - 1)
    runner.encode(histories)
    assert sizes == [1] * 7


def test_no_transposition_keeps_the_order_of_the_dimensions(exported):
    """onnxruntime before 1.30 takes each before a product of matrices for one that does not."""
    import onnx

    for name in ("history.onnx", "event.onnx", "recommend.onnx"):
        graph = onnx.load(exported_path(exported) / name).graph
        orders = [
            list(onnx.helper.get_node_attr_value(node, "perm"))
            for node in graph.node
            if node.op_type == "Transpose"
        ]
        assert all(order != sorted(order) for order in orders)
        assert name != "history.onnx" or orders


def test_the_runner_works_where_torch_and_seqzoo_are_not_installed(model, exported, bare):
    histories = histories_of(model, [1, 5, 40, 300])
    expected = model.recommend_many(histories, 10)
    for own, best in zip(isolated(bare, exported.out, histories), expected, strict=True):
        assert [item for item, _ in own] == [one.item for one in best]
        np.testing.assert_allclose([s for _, s in own], [one.score for one in best], rtol=1e-4)
    done = bare.run(Path(exported.out) / "runner.py", "--history", *histories[1], "-k", 3)
    found = json.loads(done.stdout)["recommendations"]
    assert [each["item"] for each in found] == [one.item for one in expected[1][:3]]


def test_a_session_gives_what_the_whole_history_gives(model, exported):
    session = Recommender(exported.out).session()
    (history,) = histories_of(model, [20])
    for item in history:
        session.observe(item)
    expected = model.encode([history])[0].numpy()
    assert np.abs(session.vector - expected).max() <= 1e-5 * np.abs(expected).max()


def test_excluded_items_are_left_out(model, exported):
    runner = Recommender(exported.out)
    (history,) = histories_of(model, [5])
    first = [item for item, _ in runner.recommend(history, 3)]
    assert first[0] not in [item for item, _ in runner.recommend(history, 3, exclude=first[:1])]
    everything = runner.recommend(history, len(model.vocabulary))
    assert {item for item, _ in everything} == {*model.vocabulary.items} - {*history}


def test_the_manifest_describes_every_file(exported):
    manifest = json.loads((exported_path(exported) / "manifest.json").read_text())
    assert {*manifest["files"], "manifest.json"} == {*exported.files}
    assert manifest["opset"] == 20
    assert exported.bytes == sum(p.stat().st_size for p in exported_path(exported).iterdir())


def exported_path(exported):
    return Path(exported.out)


def folder_with(exported, folder):
    """A folder with a copy of the exported files."""
    for name in exported.files:
        (folder / name).write_bytes((exported_path(exported) / name).read_bytes())
    return folder


def test_what_users_do_wrong_is_named(model, exported, tmp_path):
    runner = Recommender(exported.out)
    with pytest.raises(RunnerError, match="no item that the model knows"):
        runner.recommend(["no such item"])
    with pytest.raises(RunnerError, match="k is 0"):
        runner.recommend([model.vocabulary.items[0]], 0)
    (folder_with(exported, tmp_path) / "history.onnx").write_bytes(b"other")
    with pytest.raises(RunnerError, match=r"history\.onnx differs from what was exported"):
        Recommender(tmp_path)


@pytest.mark.parametrize("at", [[5], [5, 5, 5], [5, 5, 5, 5]])
def test_the_times_of_requests_are_counted_before_batches_are_made(
    model, exported, monkeypatch, at
):
    monkeypatch.setattr(own_runner, "_POSITIONS", 1)
    runner = Recommender(exported.out)
    runner.uses_query_time = True
    histories = [[model.vocabulary.items[0]]] * 2
    message = f"at has {len(at)} entries for 2 histories; give one timestamp for each"
    with pytest.raises(RunnerError, match=message):
        runner.encode(histories, [[1], [2]], at)
    with pytest.raises(RunnerError, match="give the timestamps of the events too"):
        runner.encode(histories, at=[5, 5])


def without(document, key):
    return {name: value for name, value in document.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            (lambda d, key=key: without(d, key), f"manifest.json lacks '{key}'")
            for key in own_runner._MANIFEST_KEYS
        ),
        (lambda d: without(d, "format"), "manifest.json has format None; this runner reads 1"),
        (lambda d: [d], "manifest.json has format None"),
        (lambda d: {**d, "max_length": "50"}, "'max_length' has type str, expected int"),
        (lambda d: {**d, "max_length": True}, "'max_length' has type bool, expected int"),
        (lambda d: {**d, "max_length": 0}, "'max_length' is less than 1"),
        (lambda d: {**d, "streaming": 1}, "'streaming' has type int, expected bool"),
        (lambda d: {**d, "state_events": "all"}, "has type str, expected int or NoneType"),
        (lambda d: {**d, "files": []}, "'files' has type list, expected dict"),
        (
            lambda d: {**d, "files": without(d["files"], "event.onnx")},
            "manifest.json names no file 'event.onnx'",
        ),
        (
            lambda d: {**d, "files": {**d["files"], "event.onnx": {"size": 1}}},
            "the file 'event.onnx' lacks 'sha256'",
        ),
        (
            lambda d: {**d, "files": {**d["files"], "event.onnx": "0" * 64}},
            "the file 'event.onnx' has type str, expected dict",
        ),
        (
            lambda d: {**d, "state": [without(d["state"][0], "shape"), *d["state"][1:]]},
            "state 0 lacks 'shape'",
        ),
        (
            lambda d: {**d, "state": [{**d["state"][0], "dtype": "float99"}]},
            "state 0 is not a tensor",
        ),
        (lambda d: {**d, "state": [{**d["state"][0], "shape": [-1]}]}, "state 0 is not a tensor"),
    ],
)
def test_a_damaged_manifest_is_one_line(exported, tmp_path, change, message):
    path = folder_with(exported, tmp_path) / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(RunnerError) as caught:
        Recommender(tmp_path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b'{"format": 1', b"[" * 100_000, b"\xff"],
    ids=["empty", "cut", "deep", "no UTF-8"],
)
def test_a_cut_manifest_is_one_line(exported, tmp_path, content):
    (folder_with(exported, tmp_path) / "manifest.json").write_bytes(content)
    with pytest.raises(RunnerError, match=r"manifest\.json is not JSON .*; export the model again"):
        Recommender(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"labels": null}', "vocabulary.json lacks 'items'"),
        (b'{"items": "a"}', "'items' has type str, expected list"),
        (b'{"items": ["a", 2]}', "'items' is not a list of at least one item id"),
        (b'{"items": ["a"', "is not JSON"),
    ],
)
def test_a_vocabulary_of_another_form_is_one_line(exported, tmp_path, content, message):
    """Also where the manifest records the sha256 of what it holds."""
    path = folder_with(exported, tmp_path) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["vocabulary.json"]["sha256"] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(manifest))
    (tmp_path / "vocabulary.json").write_bytes(content)
    with pytest.raises(RunnerError) as caught:
        Recommender(tmp_path)
    assert message in str(caught.value)


def test_the_runner_reads_what_the_schema_of_the_manifest_has():
    """The runner stands alone, so it has a list of its own."""
    assert {"format", *own_runner._MANIFEST_KEYS} <= {*Manifest.__struct_fields__}
    assert {*own_runner._STATE_KEYS} <= {*StateEntry.__struct_fields__}
    assert {*own_runner._FILE_KEYS} <= {*FileEntry.__struct_fields__}


def test_a_missing_package_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"needs onnx.*pip install 'seqzoo\[export\]'"):
        seqzoo.export(model, tmp_path / "out")


def test_the_verb_prints_its_document(exported, monkeypatch, capsys):
    # The export itself is the fixture's.
    monkeypatch.setattr(write, "export", lambda *_, **__: exported)
    export("gru4rec-ml100k", exported.out, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["model"] == "gru4rec-ml100k"
    assert {*document} == {
        "model", "out", "files", "streaming", "opset", "int8",
        "max_difference", "agreement", "bytes",
    }  # fmt: skip


def test_a_folder_with_other_files_is_refused(model, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        seqzoo.export(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_model_that_differs_is_not_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "TOLERANCE", 1e-12)
    with pytest.raises(UsageError, match="differ from the model"):
        seqzoo.export(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rounded_weights_make_smaller_files_that_still_agree(model, exported, tmp_path):
    small = seqzoo.export(model, tmp_path / "small", int8=True)
    assert small.int8
    assert small.bytes < 0.5 * exported.bytes
    assert 1e-5 < small.max_difference < 0.1
    assert 0.8 < small.agreement < exported.agreement == 1.0
    histories = histories_of(model, [30] * 20)
    found = Recommender(small.out).recommend_many(histories, 10)
    both = [
        len({item for item, _ in own} & {one.item for one in best})
        for own, best in zip(found, model.recommend_many(histories, 10), strict=True)
    ]
    assert 160 < sum(both) < 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "settings"),
    [("caser", {}), ("caser", {"window_padding": "right"}), ("duorec", {})],
)
def test_architectures_without_a_checkpoint_do_so_too(architecture, settings, tmp_path):
    torch.manual_seed(0)
    model = seqzoo.create(architecture, num_items=50, max_length=20, **settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.streaming
    assert exported.max_difference <= 1e-5
    check(model, exported.out)


def test_weights_that_do_not_bear_rounding_are_not_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "INT8_TOLERANCE", 1e-9)
    with pytest.raises(UsageError, match=r"to int8.*export it without --int8"):
        seqzoo.export(model, tmp_path / "out", int8=True)
    assert not (tmp_path / "out").exists()


def test_torch_programs_take_any_batch_and_length(model, tmp_path):
    exported = seqzoo.export(model, tmp_path / "out", programs=True)
    programs = {path.name for path in (tmp_path / "out").glob("*.pt2")}
    assert programs == {"history.pt2", "recommend.pt2", "event.pt2"}
    assert programs <= {*exported.files}
    history = torch.export.load(tmp_path / "out" / "history.pt2").module()
    for batch, length in ((1, 1), (1, 40), (5, 1), (9, 33)):
        rows = torch.randint(1, len(model.vocabulary), (batch, length))
        lengths = torch.randint(1, length + 1, (batch,))
        expected = model.read(SequenceBatch(rows, lengths))
        torch.testing.assert_close(history(rows, lengths), expected, rtol=1e-5, atol=1e-5)
    for name in programs:
        assert str(Path(seqzoo.__file__).parent).encode() not in content_of(tmp_path / "out" / name)
    Recommender(exported.out).recommend([model.vocabulary.items[0]])


def test_files_of_an_earlier_export_do_not_stay(model, tmp_path):
    """They would hold the weights of another model, with a manifest that does not name them."""
    earlier = seqzoo.export(model, tmp_path / "out", programs=True)
    exported = seqzoo.export(model, tmp_path / "out")
    assert {*earlier.files} > {*exported.files}
    assert not list((tmp_path / "out").glob("*.pt2"))
    assert all((tmp_path / "out" / name).is_file() for name in exported.files)


def content_of(path):
    with zipfile.ZipFile(path) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())
