"""The notebooks in examples/ run from top to bottom, offline, and are stored without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


def read(name):
    return nbformat.read(EXAMPLES / name, as_version=4)


def run(notebook, folder, monkeypatch):
    """Execute a notebook in a folder; nothing is fetched."""
    for name in ("HF_HUB_OFFLINE", "PIP_NO_INDEX"):
        monkeypatch.setenv(name, "1")
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


def printed(notebook):
    return "".join(
        output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
    )


def test_the_notebooks_are_there():
    assert NOTEBOOKS == [
        "first_steps.ipynb",
        "train_on_your_own_data.ipynb",
        "write_a_plugin.ipynb",
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_stored_without_outputs(name):
    for cell in read(name).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("first_steps.ipynb", "Star Wars: Episode VI"),
        ("train_on_your_own_data.ipynb", "difference "),
        ("write_a_plugin.ipynb", "ema"),
    ],
)
def test_it_runs(name, expected, tmp_path, monkeypatch):
    assert expected in printed(run(read(name), tmp_path, monkeypatch))


def test_a_cell_that_fails_is_noticed(tmp_path, monkeypatch):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert False")])
    with pytest.raises(CellExecutionError):
        run(notebook, tmp_path, monkeypatch)
