"""``benchmarks/ablation.py`` writes its table into docs/studies.md."""

import importlib.util
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "benchmarks" / "ablation.py"
HEAD = "| variant | seeds |\n|---|---:|"
PAGE = f"before\n<!-- study: s -->\n{HEAD}\n| a | 1 |\n| b | 1 |\n<!-- /study -->\nafter\n"


@pytest.fixture
def write(tmp_path):
    """``write(text, …)`` puts a table into the page; returns the page."""
    spec = importlib.util.spec_from_file_location("ablation", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = tmp_path / "studies.md"

    def write(text, study="s", **options):
        page.write_text(PAGE)
        tool.write(page, study, text, **options)
        return page.read_text()

    return write


def test_a_whole_table_replaces_the_one_before(write):
    assert write(f"{HEAD}\n| c | 2 |") == PAGE.replace("| a | 1 |\n| b | 1 |", "| c | 2 |")


def test_some_rows_are_replaced_in_their_places(write):
    assert write(f"{HEAD}\n| b | 3 |\n| c | 2 |", keep=True) == PAGE.replace(
        "| b | 1 |", "| b | 3 |\n| c | 2 |"
    )


def test_a_page_without_the_block_is_refused(write):
    with pytest.raises(SystemExit, match="has no block"):
        write("", study="other")
