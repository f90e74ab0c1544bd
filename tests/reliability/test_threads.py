"""Eight threads on one model give the answers that one thread gives."""

import threading
from random import Random

import pytest
import torch

import seqzoo
from seqzoo.data.interactions import Interactions
from seqzoo.data.readers import read_interactions
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue

THREADS = 8
ITEMS = [f"item-{index}" for index in range(40)]


def build(architecture: str) -> SequenceModel:
    torch.manual_seed(3)
    settings = {"hidden_size": 16}
    return SequenceModel.build(architecture, settings, Vocabulary(ITEMS)).eval()


def history_of(number: int) -> tuple[list[str], list[int]]:
    chance = Random(number)
    items = [chance.choice(ITEMS) for _ in range(chance.randrange(1, 12))]
    start = 978_300_000 + number
    return items, [start + 60 * step * step for step in range(len(items))]


def answer(model: SequenceModel, number: int) -> object:
    """One of the questions that a program may ask; by its number."""
    items, times = history_of(number)
    kind = number % 4
    if kind == 0:
        return model.recommend(items, k=5, timestamps=times)
    if kind == 1:
        others, other_times = history_of(number + 1)
        return model.recommend_many([items, others], k=3, timestamps=[times, other_times])
    if kind == 2:
        return model.encode([items], timestamps=[times])
    if not model.backbone.streaming:
        return model.recommend(items, k=40, exclude_seen=False, timestamps=times)
    session = model.session()
    for item, time in zip(items, times, strict=True):
        session.observe(item, timestamp=time)
    return session.recommend(4)


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    return one == other


def in_threads(work) -> list[BaseException]:
    """Call ``work(thread)`` in eight threads that begin together; what they raised."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(THREADS)

    def run(thread: int) -> None:
        try:
            barrier.wait()
            work(thread)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=[number]) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    "architecture", [spec.name for spec in catalogue().architectures if not spec.baseline]
)
def test_answers_are_those_of_one_thread(architecture, training, cases):
    model = build(architecture)
    count = max(24, cases // THREADS)
    expected = [answer(model, number) for number in range(count)]
    model.train(training)
    modes = {name: module.training for name, module in model.named_modules()}

    def work(thread: int) -> None:
        order = list(range(count))
        Random(thread).shuffle(order)
        for number in order:
            assert same(answer(model, number), expected[number]), (thread, number)

    assert in_threads(work) == []
    assert {name: module.training for name, module in model.named_modules()} == modes


def shop() -> Interactions:
    rows = []
    for user in range(30):
        items, times = history_of(1000 + user)
        rows += [(f"u{user}", item, time) for item, time in zip(items * 2, times * 2, strict=True)]
    return read_interactions(rows)


def test_evaluating_in_threads_gives_one_result():
    model, data = build("sasrec"), shop()
    expected = seqzoo.evaluate(model, data)
    found = [None] * THREADS

    def work(thread: int) -> None:
        found[thread] = seqzoo.evaluate(model, data)

    assert in_threads(work) == []
    assert all(one.metrics == expected.metrics for one in found)


def test_saving_while_others_ask(tmp_path):
    model = build("sasrec")
    expected = [answer(model, number) for number in range(24)]

    def work(thread: int) -> None:
        if thread < 2:
            for _ in range(5):
                model.save_pretrained(tmp_path / str(thread))
            return
        for number in range(24):
            assert same(answer(model, number), expected[number])
            if thread == 7 and number % 8 == 0 and (tmp_path / "0" / "config.json").exists():
                loaded = SequenceModel.from_pretrained(tmp_path / "0")
                assert same(answer(loaded, number), expected[number])

    assert in_threads(work) == []


def test_loading_in_threads():
    """The first import of plugins and parts may happen in several threads."""
    found = [None] * THREADS

    def work(thread: int) -> None:
        found[thread] = seqzoo.load("sasrec-ml100k").recommend(["1", "2"], k=5)

    assert in_threads(work) == []
    assert all(one == found[0] for one in found)
