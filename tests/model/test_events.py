"""What a session keeps of its events does not grow with repeated items or beyond the window."""

import pytest

from seqzoo.errors import UsageError
from seqzoo.model.events import Events, elapsed


def test_each_item_is_kept_once_in_order():
    events = Events(kept=0)
    for number in range(10_000):
        events.add(1 + number * 7 % 50, number)
    assert events.count == 10_000
    assert events.seen.tolist() == list(range(1, 51))
    assert (len(events.items), len(events.times), events.nbytes) == (0, 0, 4 * 50)


@pytest.mark.parametrize("timed", [True, False])
def test_the_window_is_always_there_and_little_more(timed):
    events = Events(kept=6)
    for number in range(100):
        events.add(number + 1, number if timed else None)
        newest = list(range(max(0, number - 5), number + 1))
        assert [item - 1 for item in events.items[-6:]] == newest
        assert events.times[-6:].tolist() == (newest if timed else [])
        assert len(events.items) < 12
    assert len(events.seen) == 100


def test_without_a_limit_all_events_are_kept():
    events = Events(kept=None)
    for number in range(1000):
        events.add(1 + number % 3, number)
    assert events.items.tolist() == [1 + number % 3 for number in range(1000)]
    assert events.times.tolist() == list(range(1000))


def test_the_time_since_the_previous_event():
    assert elapsed(0, None, None, "a session") is None
    assert elapsed(0, None, 7, "a session") == 0
    assert elapsed(3, 7, 9, "a session") == 2
    assert elapsed(3, None, None, "a session") is None
    with pytest.raises(UsageError, match="the 3 so far have one each"):
        elapsed(3, 7, None, "a session")
    with pytest.raises(UsageError, match="earlier than that of the previous event of a session"):
        elapsed(3, 7, 6, "a session")
