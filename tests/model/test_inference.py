"""Computing leaves every module in its mode, also with several threads."""

import threading

import pytest
import torch

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.model.sequence_model import SequenceModel

ITEMS = tuple(f"film-{number}" for number in range(30))
HISTORY = ["film-3", "film-7", "film-1"]


@pytest.fixture
def model():
    torch.manual_seed(0)
    settings = {"hidden_size": 16, "max_length": 10, "dropout": 0.5}
    return SequenceModel.build("sasrec", settings, Vocabulary(ITEMS))


def modes(model):
    return {name: module.training for name, module in model.named_modules()}


def test_frozen_parts_stay_frozen(model):
    model.train()
    model.backbone.eval()
    before = modes(model)
    model.recommend(HISTORY, k=3)
    model.encode([HISTORY])
    assert modes(model) == before


def test_threads_of_a_model_in_training_get_the_answers_of_evaluation(model):
    expected = model.eval().recommend(HISTORY, k=5)
    model.train()
    answers = []

    def ask():
        answers.extend(model.recommend(HISTORY, k=5) for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert all(answer == expected for answer in answers)
    assert all(modes(model).values())


def test_a_session_leaves_the_mode_alone_and_never_drops_out(model):
    model.eval()
    expected = model.session()
    for item in HISTORY:
        expected.observe(item)
    model.train()
    session = model.session()
    for item in HISTORY:
        session.observe(item)
    assert all(modes(model).values())
    assert session.recommend(k=5) == expected.recommend(k=5)


def test_the_mode_comes_back_after_an_error(model):
    model.train()
    model.backbone.last = None
    with pytest.raises(TypeError):
        model.recommend(HISTORY, k=3)
    assert all(modes(model).values())
