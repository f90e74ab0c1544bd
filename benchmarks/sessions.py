"""One event of a session or 200 events encoded again, and many users together or one by one."""

from collections.abc import Callable
from itertools import count

import torch
from timing import arguments, medians, report

import seqzoo
from seqzoo.model.sequence_model import SequenceModel

ITEMS, LENGTH, USERS, EVENTS, LONG = 3416, 200, 1000, 50, 10_000
CONSTANT = ("gru4rec", "mamba4rec", "ssd4rec", "tim4rec", "lrurec")
GROWING = ("sasrec", "elastic", "narm")


def item(number: int) -> str:
    """The id of an item: half of the catalogue in turn, so that something is left to recommend."""
    return str(1 + number * 1009 % (ITEMS // 2))


def one_event(model: SequenceModel) -> dict[str, Callable[[], object]]:
    """Events of one user, each taken up by a session or by encoding the newest ones again."""
    session, clock = model.session(), count()
    history, times = [item(number) for number in range(LENGTH)], [list(range(LENGTH))]

    def observe() -> None:
        for _ in range(EVENTS):
            second = next(clock)
            session.observe(item(second), second)

    def encode() -> None:
        for _ in range(EVENTS):
            model.encode([history], timestamps=times)

    return {f"encode {LENGTH} events": encode, "session.observe": observe}


def recommendations(model: SequenceModel) -> dict[str, Callable[[], object]]:
    """Recommendations early and late in a session."""

    def at(events: int) -> Callable[[], object]:
        session = model.session()
        for number in range(events):
            session.observe(item(number), number)
        return lambda: [session.recommend(k=10) for _ in range(EVENTS)]

    return {f"event {events}": at(events) for events in (10, LONG)}


def many_users(model: SequenceModel) -> dict[str, Callable[[], object]]:
    """One event of each user: sessions of one user, sessions of many, and the bare step."""
    users = [str(number) for number in range(USERS)]
    single, sessions, clock = {user: model.session() for user in users}, model.sessions(), count()

    def one_by_one() -> None:
        second = next(clock)
        for number, user in enumerate(users):
            single[user].observe(item(number + second), second)

    def together() -> None:
        second = next(clock)
        sessions.observe(
            [(user, item(number + second), second) for number, user in enumerate(users)]
        )

    hidden = torch.randn(USERS, model.embedder.item_table.shape[1])
    state, elapsed = model.backbone.initial_state(USERS), torch.ones(USERS, dtype=torch.int64)

    def bare() -> None:
        with torch.inference_mode():
            model.backbone.step(hidden, state, elapsed)

    return {
        "model.session() one by one": one_by_one,
        "model.sessions().observe": together,
        "backbone.step, first event": bare,
    }


if __name__ == "__main__":
    options = arguments(__doc__)
    for name in (*CONSTANT, *GROWING):
        torch.manual_seed(0)
        fresh = seqzoo.create(name, num_items=ITEMS).eval()
        many = medians(many_users(fresh), options.turns)
        title = f"{name}: one event of each of {USERS} users"
        report(title, many, "model.session() one by one", options.json)
        if name in CONSTANT:
            title = f"{name}: {EVENTS} events of one user"
            report(
                title,
                medians(one_event(fresh), options.turns),
                f"encode {LENGTH} events",
                options.json,
            )
            title = f"{name}: {EVENTS} recommendations"
            report(title, medians(recommendations(fresh), options.turns), "event 10", options.json)
