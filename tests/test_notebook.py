"""What a notebook shows: escaped HTML that needs nothing else, and a run in a real kernel."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

import seqzoo
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.evaluation.compare import compare
from seqzoo.evaluation.evaluate import evaluate
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.notebook import Html, escape, in_kernel, table
from seqzoo.training.notebook import NotebookReporter, curve
from seqzoo.training.progress import RunFacts
from seqzoo.training.result import TrainingResult

EVIL = '<img src=x onerror="alert(1)">\n```\u202e&'
OPTIONS = {"users": 30, "items": 20, "mean_length": 10}


class Reader(HTMLParser):
    """The texts and tags of a fragment, and whether every tag is closed in order."""

    def __init__(self, fragment):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(fragment)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(fragment):
    """Parse a fragment that must be harmless and readable on any page."""
    reader = Reader(fragment)
    assert not {"script", "link", "img", "style", "iframe"} & set(reader.tags)
    assert not re.search(r"https?:|url\(|background|[\"; ]color:", fragment)
    for name, value in reader.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "href")
        if name in ("fill", "stroke"):
            assert value in ("none", "currentColor")
    return reader


@pytest.fixture
def model():
    torch.manual_seed(0)
    items = [EVIL, *(f"i{number}" for number in range(2, 21))]
    labels = [f"<b>title {EVIL}</b>", *([None] * 19)]
    model = SequenceModel.build("sasrec", {"hidden_size": 8}, Vocabulary(items, labels))
    return model.eval()


def test_a_model_shows_what_it_is_and_what_is_stored(model):
    reader = read(model._repr_html_())
    assert "SequenceModel sasrec" in reader.texts
    assert f"{model.num_parameters:,}" in reader.texts
    assert any("no stored metrics" in text for text in reader.texts)

    model.recipe = {"data": {"source": EVIL}}
    record = {"metrics": {"hit@5": 0.1, "hit@10": 0.25, "ndcg@10": 0.125}, "users": 6040}
    model.metrics = {"loo-full": {**record, "data": {"name": EVIL}}}
    texts = read(model._repr_html_()).texts
    assert {"HR@10", "0.2500", "0.1250"} <= set(texts)
    assert "HR@5" not in texts
    assert any("6,040 users" in text for text in texts)
    assert '<img src=x onerror="alert(1)"> ```?&' in texts


def test_a_bundled_model_shows_its_stored_metrics():
    model = seqzoo.load("mamba4rec-ml1m")
    texts = read(model._repr_html_()).texts
    stored = model.metrics["loo-full"]["metrics"]["hit@10"]
    assert f"{stored:.4f}" in texts
    assert "ml-1m" in texts


def test_recommendations_are_a_list_and_a_table(model):
    found = model.recommend(["i2", "i3"], k=19, exclude_seen=False)
    assert isinstance(found, list)
    assert isinstance(found, seqzoo.Recommendations)
    assert found == list(found)
    assert list(found) == found
    assert repr(found) == repr(list(found))
    reader = read(found._repr_html_())
    assert reader.tags.count("tr") == 20
    assert reader.texts[:4] == ["rank", "item", "label", "score"]
    if EVIL in [each.item for each in found]:
        assert '<b>title <img src=x onerror="alert(1)"> ```?&</b>' in reader.texts
    without = [each for each in found if each.label is None]
    assert read(type(found)(without)._repr_html_()).texts[:3] == ["rank", "item", "score"]
    assert all(isinstance(each, seqzoo.Recommendations) for each in model.recommend_many([["i2"]]))


def test_the_recommendations_of_several_users_are_a_list_of_lists_and_a_table(model):
    found = model.recommend_many([["i2"], ["i3", "i4"]] * 15, k=18)
    assert isinstance(found, list)
    assert found == [list(each) for each in found]
    assert [one.item for one in found[0]] == [one.item for one in model.recommend(["i2"], k=18)]
    assert json.dumps([[one.item for one in each] for each in found])
    reader = read(found._repr_html_())
    assert "recommendations for 30 users, the first 20" in reader.texts
    assert reader.tags.count("tr") == 21
    assert reader.texts[1:12] == ["user", *map(str, range(1, 11))]
    assert read(model.recommend_many([])._repr_html_()).tags.count("tr") == 1
    # A user for whom fewer items are left has a shorter list, not a shorter row.
    uneven = read(type(found)([found[0], found[1][:1]])._repr_html_())
    assert uneven.tags.count("td") == 22


def test_the_result_of_a_training():
    metrics = {"loo-full": {"hit@5": 0.1, "hit@10": 0.25, "ndcg@10": 0.125}, "mine": {"map@3": 0.5}}
    result = TrainingResult(Path("runs/shop"), 7, 9, metrics, 81.26)
    assert repr(result) == (
        "TrainingResult('runs/shop', best epoch 7 of 9; 81.3 s; "
        "loo-full: HR@10 0.2500, NDCG@10 0.1250; mine: map@3 0.5000)"
    )
    texts = read(result._repr_html_()).texts
    assert {"trained: shop", "runs/shop", "loo-full", "HR@10", "0.2500", "0.5000"} <= {*texts}
    assert "HR@5" not in texts
    stopped = TrainingResult(Path(EVIL), 1, 1, {}, 1.0, interrupted=True)
    assert repr(stopped).endswith("best epoch 1 of 1; 1.0 s; interrupted)")
    texts = read(stopped._repr_html_()).texts
    assert any(text.startswith("stopped: ") for text in texts)
    assert "metrics on the test items" not in texts


def test_an_evaluation_and_a_comparison(model):
    from seqzoo.data.synthetic import synthetic

    data = synthetic(**OPTIONS)
    items = sorted(set(data.frame["item"]))
    pair = {
        name: SequenceModel.build("sasrec", {"hidden_size": 8}, Vocabulary(items))
        for name in ("plain", EVIL)
    }
    found = evaluate(pair["plain"], data, name=EVIL, settings={"min_count": 1})
    pair["plain"].metrics = {"loo-full": found.record(seed=0)}
    again = evaluate(pair["plain"], data, name=EVIL, settings={"min_count": 1})
    texts = read(again._repr_html_()).texts
    assert {"HR@10", "measured", "stored", f"{found.metrics['hit@10']:.4f}", "+0.0000"} <= {*texts}
    compared = compare(pair, data, settings={"min_count": 1}, resamples=50, permutations=50)
    texts = read(compared._repr_html_()).texts
    assert {"plain", '<img src=x onerror="alert(1)"> ```?&'} <= set(texts)
    assert f"{compared.pairs[0].difference:+.4f}" in texts


def test_escaping():
    assert escape(EVIL) == "&lt;img src=x onerror=&quot;alert(1)&quot;&gt; ```?&amp;"
    assert escape(Html("<b>x</b>")) == "<b>x</b>"
    assert "a&lt;b" in table(["a<b"], [["x"]]).text


def records(values):
    return [
        {"epoch": n, "metric": "ndcg@10", "value": value, "loss": 1.0, "seconds": 0.1}
        for n, value in enumerate(values, start=1)
    ]


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.1], [0.1, 0.3, 0.2], [0.5] * 300])
def test_the_curve(values):
    reader = read(curve(records(values)).text)
    attributes = dict(reader.attributes)
    points = [tuple(map(float, point.split(","))) for point in attributes["points"].split()]
    assert len(points) == len(values)
    assert all(0 <= x <= 420 and 0 <= y <= 110 for x, y in points)
    best = values.index(max(values))
    assert (float(attributes["cx"]), float(attributes["cy"])) == points[best]
    # Higher on the page is a smaller y.
    assert min(y for _, y in points) == points[best][1]
    assert any(f"best {max(values):.4f} after epoch {best + 1}" in text for text in reader.texts)


def test_the_display_of_a_run_at_every_moment():
    reporter = NotebookReporter()
    read(reporter._html())
    reporter.begin(RunFacts("sasrec", 1234, EVIL, 5, 6, 7, 3, 1, 2, 1, "cpu"))
    texts = read(reporter._html()).texts
    assert any("training sasrec (1,234 parameters)" in text for text in texts)
    assert any("continuing after epoch 1; 2 processes on cpu, 1 thread each" in t for t in texts)
    reporter.start(2, 3, 2)
    reporter.batch(0.5, 100.0)
    reporter.batch(0.5, 100.0)
    reader = read(reporter._html())
    assert dict(reader.attributes)["value"] == "2.0000"
    assert any("validating" in text for text in reader.texts)
    reporter.epoch(records([0.1])[0], True)
    assert "svg" in read(reporter._html()).tags


KERNEL = f"""
import seqzoo
from seqzoo.notebook import in_kernel
from seqzoo.training.progress import Reporter
assert in_kernel()
recipe = {{
    "architecture": "sasrec",
    "model": {{"hidden_size": 8, "num_layers": 1, "max_length": 10}},
    "data": {{"source": "synthetic", "min_count": 1, "options": {OPTIONS}}},
    "train": {{"epochs": 3, "seed": 1, "baselines": False}},
}}
"""


def test_a_run_in_a_real_kernel(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    cells = [
        KERNEL,
        f"result = seqzoo.train(recipe, {str(tmp_path / 'run')!r})",
        "result",
        f"model = seqzoo.load({str(tmp_path / 'run')!r}); model",
        "model.recommend(model.vocabulary.items[:3], k=5)",
        f"seqzoo.train(recipe, {str(tmp_path / 'again')!r}, reporter=Reporter());",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    _, training, result, shown, recommended, silent = notebook.cells
    # Without ipywidgets tqdm, which libraries bring, warns once where it is imported.
    (display,) = (each for each in training.outputs if "IProgress" not in each.get("text", ""))
    html = display["data"]["text/html"]
    texts = read(html).texts
    assert any("training sasrec" in text for text in texts)
    assert "finished" in texts
    assert "epoch 3/3" in " ".join(texts)
    assert len(re.search(r'points="([^"]+)"', html)[1].split()) == 3
    assert "trained: run" in read(result.outputs[0]["data"]["text/html"]).texts
    read(shown.outputs[0]["data"]["text/html"])
    assert read(recommended.outputs[0]["data"]["text/html"]).tags.count("tr") == 6
    assert not silent.outputs


def test_a_script_stays_silent_and_imports_no_ipython(tmp_path):
    code = (
        "import sys, seqzoo\n"
        f"{KERNEL.replace('assert in_kernel()', 'assert not in_kernel()')}\n"
        f"seqzoo.train(recipe, {str(tmp_path / 'run')!r})\n"
        "assert 'IPython' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ipython_in_a_terminal_is_not_a_notebook(monkeypatch):
    class Shell:
        kernel = None

    class IPython:
        get_ipython = staticmethod(lambda: Shell())

    monkeypatch.setitem(sys.modules, "IPython", IPython)
    assert not in_kernel()
    monkeypatch.setattr(Shell, "kernel", object())
    assert in_kernel()


def test_json_of_recommendations_is_plain(model):
    found = model.recommend(["i2"], k=2)
    document = json.loads(json.dumps([each.__dict__ for each in found]))
    assert [each["item"] for each in document] == [each.item for each in found]
