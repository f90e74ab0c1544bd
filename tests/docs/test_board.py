"""The board: its values come from the stored results, and its tables sort in a real browser."""

import functools
import json
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import board_data
import board_pictures
import bundle
import pytest
import update_board
import yaml

from seqzoo.plugins import catalogue
from seqzoo.training.state import Progress

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = (360, 800, 1400)


def test_the_board_is_current():
    done = subprocess.run(
        [sys.executable, "tools/update_board.py", "--check"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_every_checkpoint_is_there_once_for_each_protocol():
    shown = [
        (row.name, table.protocol)
        for table in board_data.tables()
        for row in table.rows
        if not row.baseline
    ]
    stored = [
        (file.parent.name, protocol)
        for file in (ROOT / "model_cards").glob("*/metrics.json")
        for protocol in json.loads(file.read_text("utf-8"))
    ]
    assert sorted(shown) == sorted(stored)


def test_published_metrics_use_registered_names():
    everything = catalogue()
    for each in board_data.published():
        assert each.data in everything.datasets, each
        assert each.protocol in everything.protocols, each
        assert each.architecture is None or each.architecture in everything.architectures, each
        assert each.source, each
        assert each.place, each
        assert each.metrics, each
        assert all(0 < value < 1 for value in each.metrics.values()), each


def test_metrics_that_plugins_register_are_among_the_published_ones():
    known = [
        (each.architecture, each.data, each.protocol, each.metrics, each.settings)
        for each in board_data.published()
    ]
    for spec in catalogue().architectures:
        for each in spec.published:
            entry = (spec.name, each.data, each.protocol, dict(each.metrics), dict(each.settings))
            assert entry in known, f"add {entry} to benchmarks/published.yaml"


def test_an_entry_with_an_unknown_key_is_refused(tmp_path):
    file = tmp_path / "published.yaml"
    entry = {"data": "ml-1m", "protocol": "loo-full", "model": "A", "metric": {}}
    file.write_text(yaml.safe_dump([entry]))
    with pytest.raises(SystemExit, match="'metric' of A is none of"):
        board_data.published(file)


@pytest.fixture
def small(tmp_path):
    """One checkpoint, a baseline on its data, and one on others; what others published."""
    name = "sasrec-ml100k"
    shutil.copytree(ROOT / "model_cards" / name, tmp_path / "cards" / name)
    config = json.loads((tmp_path / "cards" / name / "config.json").read_text("utf-8"))
    metrics = json.loads((tmp_path / "cards" / name / "metrics.json").read_text("utf-8"))
    fingerprint = metrics["loo-full"]["data"]["fingerprint"]
    values = {"hit@10": 0.1, "ndcg@10": 0.05, "mrr@10": 0.04}
    baselines = [
        {"data": "ml-100k", "protocol": "loo-full", "fingerprint": found,
         "baselines": {each: values}}
        for each, found in (("markov", fingerprint), ("popular", "sha256:other"))
    ]  # fmt: skip
    figure = {"data": "ml-100k", "model": "A", "architecture": "sasrec", "source": "S",
              "place": "table 1"}  # fmt: skip
    others = [
        {**figure, "protocol": "loo-full", "metrics": {"hit@10": 0.9}},
        {**figure, "protocol": "loo-full-unseen", "metrics": {"hit@10": 0.01},
         "settings": {"num_layers": 77}},
    ]  # fmt: skip
    speed = {
        "sha256": config["files"]["model.safetensors"]["sha256"],
        "users_per_second": 2000.4,
        "ratio": 1.0,
        "state_bytes": 1234,
        "spread": {"loo-full": {"ndcg@10": 0.0123}},
    }
    measured = [{"fingerprint": fingerprint, "models": {name: speed}}]
    run = {"sha256": speed["sha256"], "seconds": 90, "epochs": 3}
    files = {
        "baselines": baselines, "others": others, "measured": measured, "trained": {name: run},
    }  # fmt: skip

    def tables():
        for key, content in files.items():
            (tmp_path / key).write_text(json.dumps(content))
        return board_data.tables(
            tmp_path / "cards",
            **{key: tmp_path / key for key in files},
        )

    tables.speed, tables.run = speed, run
    return tables


def test_rows_hold_what_belongs_to_their_data_and_protocol(small):
    full, unseen = small()
    assert (full.protocol, unseen.protocol) == ("loo-full", "loo-full-unseen")
    assert [row.name for row in full.rows] == ["sasrec-ml100k", "markov"]
    assert [row.name for row in unseen.rows] == ["sasrec-ml100k"]
    row = full.rows[0]
    assert row.speed == board_data.Speed(2000.4, 1.0, 1234)
    assert row.spread == {"ndcg@10": 0.0123}
    assert unseen.rows[0].spread == {}
    assert row.published.metrics == {"hit@10": 0.9}
    # Of another number of layers.
    assert unseen.rows[0].published is None
    text = update_board.results(full)
    assert "± 0.0123" in text
    assert "| 1.5 | 2,000 | 1.00 | 1,234 | **0.9000** |" in text
    assert "`markov` (baseline)" in text


def test_the_speed_of_other_weights_is_not_shown(small):
    small.speed["sha256"] = "0" * 64
    row = small()[0].rows[0]
    assert (row.speed, row.spread) == (None, {})
    assert f"| {update_board.UNMEASURED} |" in update_board.results(small()[0])


def test_the_training_time_of_other_weights_is_not_shown(small):
    small.run["sha256"] = "0" * 64
    assert small()[0].rows[0].trained is None
    assert "|  | 2,000 |" in update_board.results(small()[0])


def test_a_bundled_run_records_its_time_in_place_of_an_earlier_one(tmp_path):
    file = tmp_path / "training.json"
    for seconds in (10.4, 59.6):
        bundle.record_time("b", "abc", Progress({}, epoch=2, seconds=seconds), file)
    bundle.record_time("a", "def", Progress({}, epoch=1, seconds=1.0), file)
    assert json.loads(file.read_text("utf-8")) == {
        "a": {"sha256": "def", "seconds": 1, "epochs": 1},
        "b": {"sha256": "abc", "seconds": 60, "epochs": 2},
    }


def test_a_picture_says_what_it_shows_and_is_drawn_again_when_that_changes(small, tmp_path):
    pytest.importorskip("matplotlib")
    table = small()[0]
    file = tmp_path / board_pictures.picture_name(table)
    assert file.name == "ml-100k-loo-full.svg"
    assert not board_pictures.is_current(file, table)
    board_pictures.write_picture(file, table)
    assert "sasrec-ml100k: NDCG@10 0.0575, 2,000 users per second" in file.read_text("utf-8")
    assert board_pictures.is_current(file, table)
    small.speed["users_per_second"] = 3000.0
    assert not board_pictures.is_current(file, small()[0])


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The board's page in the theme of the site, on a server of its own."""
    folder = tmp_path_factory.mktemp("board")
    source = folder / "docs"
    for part in ("images/board", "javascripts", "stylesheets"):
        shutil.copytree(ROOT / "docs" / part, source / part)
    shutil.copy(ROOT / "docs" / "board.md", source / "index.md")
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    for key in ("nav", "plugins", "validation"):
        del settings[key]
    settings["hooks"] = [str(ROOT / hook) for hook in settings["hooks"]]
    settings |= {"docs_dir": str(source), "site_dir": str(folder / "site")}
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    handler = functools.partial(Quiet, directory=str(folder / "site"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    server.server_close()


def column(page, index):
    """The cells of a column of the first table of results."""
    return [
        row.locator("td").nth(index).inner_text()
        for row in page.locator(".sortable table").first.locator("tbody tr").all()
    ]


def title(page, name):
    return page.locator(".sortable table").first.get_by_role("button", name=name, exact=True)


def first_number(text):
    return float(text.split()[0].replace(",", ""))


def test_a_click_sorts_and_another_one_reverses(address, open_page):
    page = open_page(address)
    names, values = column(page, 0), column(page, 2)
    assert len(names) > 3
    assert [*map(first_number, values)] == sorted(map(first_number, values), reverse=True)
    title(page, "NDCG@10").click()
    title(page, "NDCG@10").click()
    assert column(page, 2) == values[::-1]
    assert column(page, 0) != names
    head = page.locator(".sortable table").first.locator("th")
    assert head.nth(2).get_attribute("aria-sort") == "ascending"
    title(page, "checkpoint").click()
    assert column(page, 0) == sorted(names)
    assert head.nth(2).get_attribute("aria-sort") is None
    assert head.nth(0).get_attribute("aria-sort") == "ascending"


def test_the_keyboard_sorts_and_cells_without_a_number_stay_last(address, open_page):
    page = open_page(address)
    title(page, "parameters").focus()
    for key, backwards in (("Enter", True), ("Space", False)):
        page.keyboard.press(key)
        cells = column(page, 4)
        numbers = [first_number(cell) for cell in cells if cell]
        assert 3 < len(numbers) < len(cells)
        assert all(cells[: len(numbers)])
        assert numbers == sorted(numbers, reverse=backwards)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "training, min"


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_at_a_width(address, open_page, width):
    page = open_page(address, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # A wide table scrolls in its own box, and the names stay in view.
    table = page.locator(".sortable table").first
    table.scroll_into_view_if_needed()
    box = table.evaluate(
        """table => {
            let box = table.parentElement;
            while (box && getComputedStyle(box).overflowX !== "auto") box = box.parentElement;
            box.scrollLeft = 10000;
            const name = table.tBodies[0].rows[0].cells[0].getBoundingClientRect();
            return {left: name.left - box.getBoundingClientRect().left, moved: box.scrollLeft};
        }"""
    )
    assert box["left"] >= -1
    assert box["moved"] > 0 or width > 800


def test_pictures_load_and_have_a_text(address, open_page):
    page = open_page(address)
    pictures = page.locator("article img").all()
    assert pictures
    for picture in pictures:
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        assert picture.get_attribute("alt").startswith("NDCG@10 and users per second on ")
