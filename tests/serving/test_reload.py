"""A service that loads newer checkpoints: copied file by file, damaged, or several in a row."""

import asyncio
import shutil
import time

import pytest

from seqzoo.serving.service import served
from seqzoo.serving.service.limits import Limits
from seqzoo.serving.service.requests import RecommendRequest
from tests.samples import make_model


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy of the checkpoint that a test may change."""
    return shutil.copytree(checkpoint, tmp_path / "model")


@pytest.fixture
def errors(monkeypatch):
    """The events of errors in the log."""
    events = []
    monkeypatch.setattr(served.logger, "error", lambda event, **_: events.append(event))
    return events


def test_a_checkpoint_that_is_copied_file_by_file_is_loaded_when_it_is_complete(
    serve, folder, tmp_path
):
    running = serve(folder)
    newer = make_model(seed=1)
    newer.save_pretrained(tmp_path / "newer")
    history = ["item-1", "item-2"]
    expected = [each.item for each in newer.recommend(history, 3)]
    with running.client() as client:

        def recommended():
            answer = client.post("/v1/recommend", json={"history": history, "k": 3}).json()
            return [each["item"] for each in answer["recommendations"]]

        before = recommended()
        assert before != expected
        shutil.copy(tmp_path / "newer" / "config.json", folder)
        time.sleep(3)
        assert "reload failed" in [line["event"] for line in running.lines()]
        assert recommended() == before
        for path in (tmp_path / "newer").iterdir():
            if path.name != "config.json":
                shutil.copy(path, folder)
        until = time.monotonic() + 20
        while recommended() != expected:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_pauses_between_failed_tries_grow_to_a_minute_and_start_again_after_a_change(
    folder, monkeypatch, errors
):
    model = served.ServedModel(str(folder), Limits())
    now = time.monotonic()
    monkeypatch.setattr(served.time, "monotonic", lambda: now)
    text = (folder / "config.json").read_text("utf-8")
    try:
        assert not model.due
        (folder / "config.json").write_text("{")
        pauses = []
        for _ in range(8):
            assert model.due
            assert not model.reload()
            failed = now
            while not model.due:
                now += 1.0
            pauses.append(now - failed)
        assert pauses == pytest.approx([2, 4, 8, 16, 32, 60, 60, 60])
        assert errors == ["reload failed"] * 8
        (folder / "config.json").write_text("{}")
        assert not model.reload()
        now += 2.0
        assert model.due
        (folder / "config.json").write_text(text, "utf-8")
        assert model.due
        assert model.reload()
        now += 100.0
        assert not model.due
    finally:
        model.close()


def test_sessions_of_replaced_models_are_closed_and_an_error_of_that_is_no_answer(
    folder, monkeypatch, errors
):
    model = served.ServedModel(str(folder), Limits())
    closed, first = [], model.sessions

    def close(sessions):
        closed.append(sessions)
        raise OSError("the disk is full")

    monkeypatch.setattr(served, "_close", close)
    try:
        assert model.reload()
        (_, second) = model._next
        assert model.reload()
        assert closed == [second]
        (best,) = asyncio.run(model.batcher.submit(RecommendRequest([["item-1"]], k=3), 10))
        assert len(best) == 3
        assert closed == [second, first]
        assert errors == ["closing sessions failed"] * 2
    finally:
        monkeypatch.undo()
        model.close()
