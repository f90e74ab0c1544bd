"""A run writes each file of its checkpoint only when its content changes."""

from seqzoo.checkpoint import folder
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter

WEIGHTS, FIXED = "model.safetensors", {"vocabulary.json", "recipe.yaml"}
CHANGING = {"metrics.json", "config.json", "README.md"}


def test_a_run_writes_only_what_has_changed(recipe, tmp_path, monkeypatch, heard):
    written, real = [], folder.write_files

    def write(path, files):
        written.append(set(files))
        real(path, files)

    monkeypatch.setattr(folder, "write_files", write)
    train(recipe("sasrec", epochs=6), tmp_path / "run", reporter=heard)
    bests = sum(heard.best)
    assert bests >= 2
    first, *others, last = written
    assert first == {WEIGHTS} | FIXED | CHANGING
    assert others == [{WEIGHTS} | CHANGING - {"metrics.json"}] * (bests - 1)
    assert last == CHANGING


def test_a_file_that_disappears_in_between_is_written_again(recipe, tmp_path):
    out = tmp_path / "run"

    class Removes(Reporter):
        def epoch(self, record, best):
            for name in (WEIGHTS, *FIXED):
                (out / name).unlink(missing_ok=True)

    result = train(recipe("sasrec", epochs=1), out, reporter=Removes())
    assert (
        SequenceModel.from_pretrained(out).metrics["loo-full"]["metrics"]
        == (result.metrics["loo-full"])
    )
