"""A bounded run of the fuzzing; the long one is ``python -m tests.reliability.fuzz``."""

import json
import sys
from random import Random

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.reliability import mutations
from tests.reliability.fuzz import GROWTH, Outcome, kind_of, worker_of
from tests.reliability.readers import load_all

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")

CASES = 60


@pytest.mark.parametrize("name", load_all())
def test_damaged_content_is_read_or_refused_in_one_line(name, cases):
    """Hypothesis draws the damage, so that it can reduce what fails to the smallest case."""
    mutate = load_all()[name][2]
    with worker_of(name) as worker:

        @settings(
            max_examples=max(CASES, cases),
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.randoms(use_true_random=False))
        def read(chance: Random) -> None:
            content = mutate(worker.seeds, chance)
            outcome = worker.read(content)
            note(f"{content[:500]!r}\n{outcome.verdict}: {outcome.detail}")
            assert not outcome.failed, kind_of(outcome)

        read()
        assert worker.growth < GROWTH


class Careless:
    """A reader with every kind of failure."""

    seeds = (b"0",)

    def read(self, content: bytes) -> object:
        from seqzoo.errors import SeqzooError

        if content == b"1":
            return int("x")
        if content == b"2":

            class SeveralLinesError(SeqzooError):
                def __str__(self) -> str:
                    return "two\nlines"

            raise SeveralLinesError
        if content == b"3":
            import os

            os._exit(3)
        if content == b"4":
            return bytearray(2 << 30)
        if content == b"5":
            import os

            os.write(2, b"\nthread 'x' panicked at a.rs:1\n")
        if content == b"6":
            raise SystemExit
        return None


def test_each_kind_of_failure_is_noticed(monkeypatch):
    readers = load_all()
    monkeypatch.setitem(readers, "careless", ("test", lambda home: Careless(), lambda s, c: b"0"))
    monkeypatch.setattr("tests.reliability.fuzz.SECONDS", 20.0)
    with worker_of("CSV") as worker:
        good = worker.seeds[0]
        assert worker.read(good).verdict == "read"
        assert worker.read(b"").verdict == "refused"
    from tests.reliability import fuzz

    verdicts = [fuzz._read(Careless(), content)[0] for content in (b"0", b"1", b"2", b"6")]
    assert verdicts == ["read", "exception", "message", "exception"]
    assert [Outcome(verdict).failed for verdict in verdicts] == [False, True, True, True]


@pytest.mark.parametrize("name", load_all())
def test_a_case_is_the_same_again(name):
    mutate = load_all()[name][2]
    seeds = [json.dumps({"a": [1, {"b": "text"}], "c": 0.5}).encode()]
    if mutate.__name__ in ("any_tensors", "any_archive", "any_parquet"):
        pytest.skip("needs a file of its own kind")
    assert mutate(seeds, Random("x/1")) == mutate(seeds, Random("x/1"))


def test_documents_are_damaged_in_many_ways():
    document = {"items": ["a", "b"], "labels": [None, "x"], "size": 3, "inner": {"k": 1.5}}
    found = {mutations.render(mutations.damage_document(document, Random(n))) for n in range(2000)}
    assert len(found) > 1000
    assert document == {"items": ["a", "b"], "labels": [None, "x"], "size": 3, "inner": {"k": 1.5}}
    assert any(content.count(b'"items"') == 2 for content in found)
    for part in (
        b"NaN",
        b"Infinity",
        b"\\ud800",
        b"[[[[[[",
        b"99999999",
    ):
        assert any(part in content for content in found), part
