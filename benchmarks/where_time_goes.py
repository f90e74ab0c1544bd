"""Where the time of one call goes: the operations with the most time of their own, in percent.

``evaluate NAME`` is the evaluation of ``users.py``, ``recommend NAME`` its recommendations, and
``train NAME LENGTH ROWS`` the training step of ``length.py``; ``best USERS`` is the search of
``catalogue.py`` with the int8 index.
"""

import argparse
from collections.abc import Callable

import torch
from catalogue import best_of
from length import step_of
from torch.profiler import ProfilerActivity, profile, record_function
from users import ITEMS, LENGTH, evaluations, recommendations

import seqzoo

OPERATIONS = 12


def call_of(what: str, name: str, length: int, rows: int) -> Callable[[], object]:
    """The call that is measured."""
    if what == "best":
        return best_of(int(name))["index int8"]
    if what == "train":
        return step_of(name, length, rows)
    if what == "evaluate":
        return evaluations(name)["evaluate"]
    torch.manual_seed(0)
    model = seqzoo.create(name, num_items=ITEMS, max_length=LENGTH).eval()
    return recommendations(model, 0)["recommend_many"]


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["best", "evaluate", "recommend", "train"])
    parser.add_argument("name", help="an architecture; for best, the number of users")
    parser.add_argument("length", nargs="?", type=int, default=2048)
    parser.add_argument("rows", nargs="?", type=int, default=1)
    given = parser.parse_args()
    call = call_of(given.what, given.name, given.length, given.rows)
    call()
    with profile(activities=[ProfilerActivity.CPU]) as profiled, record_function("everything"):
        call()
    events = profiled.key_averages()
    whole = next(event.cpu_time_total for event in events if event.key == "everything")
    for event in sorted(events, key=lambda each: -each.self_cpu_time_total)[:OPERATIONS]:
        # The compiled kernels and Python have no name of their own.
        key = "Python and kernels" if event.key == "everything" else event.key
        print(f"{100 * event.self_cpu_time_total / whole:5.1f} %  {event.count:6} calls  {key}")


if __name__ == "__main__":
    main()
