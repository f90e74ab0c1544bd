"""``compare``: metrics of several models on the same users, and pictures of them."""

import json
import logging
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch

from seqzoo.data.interactions import Interactions
from seqzoo.errors import DataError, UnknownNameError, UsageError
from seqzoo.evaluation import plot as plots
from seqzoo.evaluation import preparation
from seqzoo.evaluation.compare import compare
from seqzoo.evaluation.curve import plot_curve
from seqzoo.evaluation.evaluate import evaluate
from seqzoo.evaluation.plot import PlotError, check_plot_file, plot

FEW = {"resamples": 200, "permutations": 300}
ALL = {"settings": {"min_count": 1}, **FEW}


@pytest.fixture(scope="module")
def models(interactions, make, plain):
    histories = plain.histories(interactions)
    return {
        "wide": make(histories, hidden_size=32),
        "recurrent": make(histories, "gru4rec", hidden_size=16),
        "selective": make(histories, "mamba4rec", hidden_size=16),
    }


@pytest.fixture(scope="module")
def compared(models, interactions):
    return compare(models, interactions, **ALL)


def test_metrics_are_those_of_evaluate(models, interactions, compared):
    assert [model.name for model in compared.models] == list(models)
    for found, model in zip(compared.models, models.values(), strict=True):
        alone = evaluate(model, interactions, settings={"min_count": 1})
        assert found.metrics == alone.metrics
        assert (found.users, found.items) == (alone.users, alone.items) == (100, 60)
        assert compared.data["fingerprint"] == alone.data["fingerprint"]
        assert found.environment == alone.environment
        for key, (low, high) in found.interval.items():
            assert low <= found.metrics[key] <= high
        assert found.interval.keys() == found.metrics.keys()
    unseen = compare(models, interactions, "loo-full-unseen", **ALL).models[0]
    alone = evaluate(models["wide"], interactions, "loo-full-unseen", settings={"min_count": 1})
    assert unseen.metrics == alone.metrics


def test_pairs_are_every_two(compared):
    assert [(pair.a, pair.b) for pair in compared.pairs] == [
        ("wide", "recurrent"),
        ("wide", "selective"),
        ("recurrent", "selective"),
    ]
    metrics = {model.name: model.metrics for model in compared.models}
    for pair in compared.pairs:
        assert pair.metric == "ndcg@10"
        difference = metrics[pair.a]["ndcg@10"] - metrics[pair.b]["ndcg@10"]
        assert pair.difference == pytest.approx(difference, abs=1e-12)
        assert pair.interval[0] <= pair.difference <= pair.interval[1]
        assert 0 < pair.p_value <= pair.p_adjusted <= 1


def test_sizes_and_speeds(models, compared, interactions):
    for found, model in zip(compared.models, models.values(), strict=True):
        assert found.parameters == model.num_parameters
        assert found.bytes >= 8 * model.num_parameters  # in float64
        assert found.users_per_second > 0
        assert found.seconds > 0
    wide, recurrent, _ = compared.models
    # Keys and values of 7 events in each of 2 layers, and more; a recurrent state is its width.
    assert wide.state_bytes >= 2 * 2 * 7 * 32 * 8
    assert 16 * 8 <= recurrent.state_bytes < wide.state_bytes
    sized = compare(models, interactions, sizes={"recurrent": 77}, **ALL)
    assert [model.bytes for model in sized.models] == [
        wide.bytes, 77, compared.models[2].bytes,
    ]  # fmt: skip


@pytest.mark.parametrize("part", ["backbone", "embedder"])
def test_a_model_that_cannot_stream_has_no_state(models, interactions, monkeypatch, part):
    monkeypatch.setattr(getattr(models["wide"], part), "streaming", False)
    assert compare(models, interactions, **ALL).models[0].state_bytes is None


def test_state_bytes_of_a_session(models):
    session = models["wide"].session()
    empty = session.state_bytes
    sizes = []
    for item in models["wide"].vocabulary.items[:7]:
        session.observe(item)
        sizes.append(session.state_bytes)
    assert empty < sizes[0]
    assert len(set(np.diff(sizes))) <= 1  # a cache grows by the same for every event
    session = models["selective"].session()
    session.observe(models["selective"].vocabulary.items[0])
    once = session.state_bytes
    session.observe(models["selective"].vocabulary.items[1])
    assert session.state_bytes == once > 0


def test_the_same_seed_gives_the_same(models, interactions, compared):
    again = compare(models, interactions, **ALL)
    assert again.pairs == compared.pairs
    for one, other in zip(again.models, compared.models, strict=True):
        assert one.interval == other.interval
    assert compare(models, interactions, seed=1, **ALL).pairs != compared.pairs


def test_a_model_does_not_differ_from_itself(models, interactions):
    twins = {"a": models["wide"], "b": models["wide"]}
    (pair,) = compare(twins, interactions, metric="hit@5", **ALL).pairs
    assert (pair.difference, pair.interval, pair.p_value, pair.p_adjusted) == (0, [0, 0], 1, 1)
    assert pair.metric == "hit@5"


def test_json(compared):
    assert json.loads(json.dumps(compared.to_json())) == compared.to_json()


def test_every_user_moves_the_bar_once_for_each_model(models, interactions):
    moved = []
    compare(models, interactions, batch_size=40, advance=moved.append, **ALL)
    assert moved == [40, 40, 20] * 3


def test_data_are_read_once_for_the_same_recipe(make, plain, interactions, monkeypatch):
    read = []
    real = preparation.load_data
    monkeypatch.setattr(preparation, "load_data", lambda *words: read.append(words) or real(*words))
    section = {"source": "synthetic", "options": {"users": 100, "items": 60, "mean_length": 15}}
    pair = {name: make(plain.histories(interactions)) for name in "ab"}
    for number, model in enumerate(pair.values(), start=1):
        # Neither the filter nor what training noted is of the reading.
        model.recipe = {"data": {**section, "min_count": number, "fingerprint": f"sha256:{number}"}}
    compare(pair, "synthetic", **FEW)
    assert len(read) == 1


def test_other_filters_are_refused(make, plain, interactions):
    pair = {"low": make(plain.histories(interactions)), "high": make(plain.histories(interactions))}
    pair["low"].recipe = {"data": {"min_count": 1}}
    pair["high"].recipe = {"data": {"min_count": 12}}
    with pytest.raises(UsageError, match=r"low and high .* min_count 1 and 12; give --min-count"):
        compare(pair, interactions, **FEW)
    assert compare(pair, interactions, **ALL).users == 100


def test_other_options_are_refused(make, plain, interactions):
    pair = {name: make(plain.histories(interactions)) for name in "ab"}
    for users, model in zip((100, 50), pair.values(), strict=True):
        options = {"users": users, "items": 60, "mean_length": 15}
        model.recipe = {"data": {"source": "synthetic", "options": options, "min_count": 1}}
    with pytest.raises(UsageError, match="different columns or options"):
        compare(pair, "synthetic", **FEW)


def test_models_that_know_other_items(make, plain, interactions, caplog):
    """All are measured on the same users and held-out items; an unknown one is a miss."""
    histories = plain.histories(interactions)
    last = Counter(history[-1] for history in histories.values())
    ((unknown, misses),) = last.most_common(1)
    fewer = {
        user: [item for item in history if item != unknown] for user, history in histories.items()
    }
    pair = {"all": make(histories), "fewer": make(fewer, hidden_size=8)}
    assert 0 < misses < 100
    with caplog.at_level(logging.WARNING, "seqzoo"):
        found = compare(pair, interactions, **ALL)
    assert (found.users, found.left_out) == (100, 0)
    assert f"fewer: the model does not know the held-out item of {misses} of 100" in caplog.text
    assert "all: " not in caplog.text
    assert "the models know different items" in caplog.text
    for own in found.models:
        ranks = plain.ranks(pair[own.name], histories, remove_seen=False, window=7)
        assert ranks.count(None) == (misses if own.name == "fewer" else 0)
        assert own.metrics == pytest.approx(plain.metrics(ranks))
        alone = evaluate(pair[own.name], interactions, settings={"min_count": 1})
        assert (own.metrics, own.known_targets) == (alone.metrics, alone.known_targets)
        assert own.users == 100


def test_the_same_items_in_another_order_are_the_same_items(make, plain, interactions, caplog):
    histories = plain.histories(interactions)
    pair = {"one": make(histories), "other": make(histories)}
    items = pair["other"].vocabulary.items
    pair["other"].vocabulary = type(pair["other"].vocabulary)(items[::-1])
    with caplog.at_level(logging.WARNING, "seqzoo"):
        found = compare(pair, interactions, **ALL)
    assert (found.users, found.left_out) == (100, 0)
    assert not caplog.records


def test_models_without_an_item_in_common(make):
    rows = [(f"u{user}", item, place) for user in range(5) for place, item in enumerate("abcdef")]
    frame = pl.DataFrame(rows, schema=["user", "item", "order"], orient="row")
    pair = {"front": make({"u": list("abc")}), "back": make({"u": list("def")})}
    front, back = compare(pair, Interactions.from_frame(frame), **ALL).models
    assert (front.users, front.known_targets["users"], front.metrics["hit@5"]) == (5, 0, 0.0)
    assert (back.users, back.known_targets["users"], back.metrics["hit@5"]) == (5, 5, 1.0)
    other = make({"u": list("xyz")})
    with pytest.raises(DataError, match=r"other: .*none of its 6 items"):
        compare({"back": pair["back"], "other": other}, Interactions.from_frame(frame), **ALL)
    short = Interactions.from_frame(frame.filter(pl.col("order") < 2))
    with pytest.raises(DataError, match=r"a: .*needs users with 3 interactions"):
        compare({"a": pair["front"], "b": pair["front"]}, short, **ALL)


def test_training_in_another_order_is_reported(make, plain, interactions, caplog):
    pair = {name: make(plain.histories(interactions)) for name in ("right", "wrong")}
    pair["wrong"].recipe = {"data": {"order": "float32-time-row", "min_count": 1}}
    with caplog.at_level(logging.WARNING, "seqzoo"):
        compare(pair, interactions, **ALL)
    (record,) = caplog.records
    assert record.getMessage().startswith("wrong: the model was trained on events in the order")


def test_stored_metrics_and_drift(make, plain, interactions, caplog):
    pair = {name: make(plain.histories(interactions)) for name in "ab"}
    stored = evaluate(pair["a"], interactions, settings={"min_count": 1}).record(seed=0)
    pair["a"].metrics = {"loo-full": stored}
    moved = {**stored["metrics"], "hit@5": stored["metrics"]["hit@5"] + 0.01}
    pair["b"].metrics = {"loo-full": {**stored, "metrics": moved}}
    a, b = compare(pair, interactions, **ALL).models
    assert (a.stored, a.drift) == (stored["metrics"], {})
    assert b.drift == {"hit@5": pytest.approx(-0.01)}
    pair["b"].metrics["loo-full"]["data"] = {"name": "others", "fingerprint": "sha256:0"}
    with caplog.at_level(logging.WARNING, "seqzoo"):
        assert compare(pair, interactions, **ALL).models[1].drift == {}
    assert "b: the data differ from those of the stored metrics (others)" in caplog.text


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"metric": "ndgc@10"}, UnknownNameError, "unknown metric 'ndgc@10'; did you mean 'ndcg@"),
        ({"metric": "ndcg@11"}, UnknownNameError, "loo-full measures: hit@5"),
        ({"protocol": "loo-ful"}, UnknownNameError, "did you mean 'loo-full'"),
        ({"resamples": 0}, UsageError, "resamples is 0; expected 1 or more"),
        ({"permutations": 0}, UsageError, "permutations is 0"),
        ({"seed": -1}, UsageError, "seed is -1; expected 0 or more"),
        ({"batch_size": 0}, UsageError, "batch_size is 0"),
    ],
)
def test_mistakes(models, interactions, settings, error, message):
    with pytest.raises(error, match=message):
        compare(models, interactions, **settings)
    with pytest.raises(UsageError, match="models to compare: 1; expected 2 or more"):
        compare({"one": models["wide"]}, interactions)
    with pytest.raises(UsageError, match="expected models by name and got list"):
        compare(list(models), interactions)
    with pytest.raises(UsageError, match=r"got 'sasrec-ml1m'; load it with seqzoo\.load"):
        compare({"one": models["wide"], "two": "sasrec-ml1m"}, interactions)


def test_a_model_without_scores_is_named(make, plain, models, interactions):
    broken = make(plain.histories(interactions), hidden_size=16)
    with torch.no_grad():
        broken.embedder.item_table.fill_(float("nan"))
    with pytest.raises(DataError, match="broken: the model gives NaN scores"):
        compare({"fine": models["wide"], "broken": broken}, interactions, **ALL)


def test_many_long_names_stay_in_the_picture(models, interactions, tmp_path):
    named = {f"/a/folder/of/runs/{'long-' * 20}{n}": models["wide"] for n in range(12)}
    result = compare(named, interactions, **ALL)
    plot(result, tmp_path / "many.svg")
    texts = re.findall(r"<text[^>]*>([^<]*long[^<]*)</text>", (tmp_path / "many.svg").read_text())
    assert len(texts) == 12
    assert all(len(text) <= 36 and text.endswith("…") for text in texts)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf", "SVG"])
def test_a_picture_in_every_format(compared, tmp_path, suffix):
    file = tmp_path / f"quality.{suffix}"
    file.write_text("old")
    plot(compared, file)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix.lower()]
    content = file.read_bytes()
    assert content.startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    if suffix == "svg":
        for text in (*(f">{model.name}<" for model in compared.models), "synthetic under loo-full"):
            assert text in content.decode()
    plot(compared, file)
    assert file.read_bytes() == content


def test_names_from_strangers_do_not_break_a_picture(models, interactions, tmp_path):
    strange = {"a $x_{$ <b>&\x1b[31m": models["wide"], "模型": models["wide"]}
    plot(compare(strange, interactions, **ALL), tmp_path / "strange.svg")
    text = (tmp_path / "strange.svg").read_text("utf-8")
    assert "a $x_{$ &lt;b&gt;&amp;?[31m" in text
    assert "模型" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quality.pgn", r"ends in '\.pgn'; did you mean '\.png'\?; expected one of: \.pdf, \.png"),
        ("quality", "ends in ''; expected"),
        ("nowhere/quality.png", "'.*nowhere' does not exist"),
        ("folder.png", "is a folder"),
    ],
)
def test_pictures_that_cannot_be(compared, tmp_path, name, message):
    (tmp_path / "folder.png").mkdir()
    for attempt in (check_plot_file, lambda file: plot(compared, file)):
        with pytest.raises(UsageError, match=message):
            attempt(tmp_path / name)


def test_without_matplotlib(compared, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(PlotError, match=r"pip install 'seqzoo\[plot\]'"):
        plot(compared, tmp_path / "quality.png")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_keeps_the_old_picture(compared, tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError(28, "No space left on device")

    file = tmp_path / "quality.png"
    file.write_text("old")
    monkeypatch.setattr(plots.os, "replace", refuse)
    with pytest.raises(UsageError, match="No space left on device"):
        plot(compared, file)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def epochs(count):
    return [
        {"epoch": n, "loss": 5 / n, "metric": "ndcg@10", "value": 0.2 - (n - 7) ** 2 / 1e5}
        for n in range(1, count + 1)
    ]


@pytest.mark.parametrize("count", [1, 12, 60, 300])
def test_a_curve_is_a_small_picture_with_texts(tmp_path, count):
    file = tmp_path / "curve.svg"
    plot_curve(epochs(count), file, "mine on synthetic")
    content = file.read_bytes()
    assert len(content) < 40_000
    text = content.decode()
    best = min(7, count)
    for word in ("mine on synthetic", "validation NDCG@10", "loss (dashed)", f"(best: {best}, "):
        assert word in text
    assert "dc:date" not in text
    plot_curve(epochs(count), file, "mine on synthetic")
    assert file.read_bytes() == content


def test_curves_that_cannot_be(tmp_path):
    with pytest.raises(UsageError, match="has no epochs to show"):
        plot_curve([], tmp_path / "curve.svg", "none")
    with pytest.raises(UsageError, match="epoch record 2 lacks loss"):
        plot_curve([*epochs(1), {"epoch": 2, "metric": "hit@5", "value": 0.1}],
            tmp_path / "curve.svg", "half")  # fmt: skip
    with pytest.raises(UsageError, match="expected one of"):
        plot_curve(epochs(2), tmp_path / "curve.jpg", "wrong")
    assert not list(tmp_path.iterdir())


def test_pictures_use_no_state_of_pyplot(tmp_path):
    code = (
        "import sys; from seqzoo.evaluation.curve import plot_curve\n"
        "assert 'matplotlib' not in sys.modules and 'torch' not in sys.modules\n"
        "record = {'epoch': 1, 'loss': 1.0, 'metric': 'hit@5', 'value': 0.1}\n"
        f"plot_curve([record], {str(tmp_path / 'curve.png')!r}, 'one')\n"
        "import matplotlib\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams['svg.hashsalt'] is None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
