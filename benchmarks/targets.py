"""Speed targets: the bounds, the stored results, and why a target is missed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Values = Mapping[str, float]


@dataclass(frozen=True)
class Target:
    """One speed target.

    Attributes:
        what: what is measured.
        result: name of the stored result.
        title: the comparison in it.
        value: computes it from the values of the comparison.
        wanted: the bound.
        unit: of the value.
        more: whether the bound is the least, else it is the most.
        reason: where the time goes; a missed target must have one, which the page shows.
    """

    what: str
    result: str
    title: str
    value: Callable[[Values], float]
    wanted: float
    unit: str = ""
    more: bool = False
    reason: str = ""

    def met(self, found: float) -> bool:
        """Whether a value reaches the target."""
        return found >= self.wanted if self.more else found <= self.wanted


def ratio(one: str, other: str, factor: float = 1.0) -> Callable[[Values], float]:
    """One value divided by another."""
    return lambda values: factor * values[one] / values[other]


def only(name: str, factor: float = 1.0) -> Callable[[Values], float]:
    """One value in another unit."""
    return lambda values: factor * values[name]


def per_second(name: str, thousands: float) -> Callable[[Values], float]:
    """Thousands of users per second, from the milliseconds of some thousand users."""
    return lambda values: thousands * 1000.0 / values[name]


_PROFILE = "`python benchmarks/where_time_goes.py {}`: {}"
_MAMBA4REC = _PROFILE.format(
    "evaluate mamba4rec",
    "kernels and Python 61 %, the LayerNorm of the embedded events 14 %, the scores of all items "
    "12 %, the rows of the table 5 %. Tried: one compiled pass from the newest event back, which "
    "stops once older events no longer affect the state",
)
_SASREC = _PROFILE.format(
    "evaluate sasrec",
    "kernels and Python 29 %, attention of the lower layer 26 %, projections 11 %, copies between "
    "the layouts of heads 10 %, LayerNorm 7 %. Two layers: the lower one needs every position, so "
    "little more than half of the work can be left out. Tried: one compiled pass for the "
    "feed-forward layer, which the naive implementation uses as well, and attention of the "
    "newest event without keys and values of the earlier ones",
)
_TIM4REC = _PROFILE.format(
    "evaluate tim4rec",
    "kernels and Python 27 %, projections 18 %, convolutions 10 %, products with gates 8 %, "
    "copies 7 %, the scan 6 %. The lower layer needs every position. Tried: one compiled pass for "
    "the feed-forward layer, which the naive implementation uses as well",
)
_ELASTIC = _PROFILE.format(
    "train elastic 8192",
    "products of small matrices 24 %, sums and products of elements 23 %, copies 9 %, exp 4 %, "
    "random numbers of the dropout 3 %, in several thousand operations, none of which takes more "
    "than 15 %. A compiled kernel of the whole layer with its backward pass was not tried",
)
_MEMORY = (
    "autograd keeps the inputs of every operation for each position. Computing them again in the "
    "backward pass was not tried: it would cost the time that the other target asks for"
)
_START = (
    "`python -X importtime -m seqzoo recommend …`: not counting torch and safetensors, "
    "seqzoo's own modules take 29 % of the import time, omegaconf with attr and yaml 22 %, "
    "pydantic 17 %, rich 10 %, typer 10 %. Tried: torch._dynamo is not imported, and the "
    "metadata of each distribution is read once for all of its plugins"
)
_SEARCH = _PROFILE.format(
    "best 1",
    "the scan of quantised vectors and Python 92 %. The scan reads 76 bytes of each item, 76 MB "
    "for one user; 64 users, who share the reading, take about a tenth of this time each. Fewer "
    "than 7 bits for each number were not tried",
)
_PREPARATION = (
    "`python -m cProfile -s tottime -m seqzoo data prepare FILE --out FOLDER` with 4 million rows: "
    "polars, which reads the file and turns ids into codes, 45 %, putting the events of each user "
    "in order 18 %, fingerprints 13 %. Tried: the file is read in chunks, straight into codes"
)
_COST = "a training step on one history, 8,192 events against 512"
_STEP = "training step at 2,048 events against sasrec"
_BESIDE = "a training step, 4 x 2,048 events"
_SIZE = "memory of a training step, 4 x 2,048 events"
_BEST = "10 best of 1,000,000 items, {} users"


def _targets() -> Iterator[Target]:
    for name, wanted, reason in (
        ("mamba4rec", 12, _MAMBA4REC),
        ("sasrec", 5, _SASREC),
        ("tim4rec", 8, _TIM4REC),
    ):
        what = f"evaluation of 1,000 users, {name}: speed-up over the naive implementation"
        title = f"{name}: evaluation of 1,000 users"
        yield Target(what, "users", title, ratio("plain", "evaluate"), wanted, "", True, reason)
    for name, least in (("mamba4rec", 2.64), ("sasrec", 4.8), ("tim4rec", 2.28)):
        title = f"{name}: recommendations for 1,000 users with 200 events"
        what = f"`recommend_many`, {name}: thousands of users per second"
        reason = {"mamba4rec": _MAMBA4REC, "sasrec": _SASREC}.get(name, _TIM4REC)
        yield Target(what, "users", title, per_second("recommend_many", 1), least, "", True, reason)
    for name in ("gru4rec", "mamba4rec", "ssd4rec", "tim4rec", "lrurec"):
        title = f"{name}: 50 events of one user"
        value = ratio("encode 200 events", "session.observe")
        what = f"one event, {name}: speed-up over encoding 200 events"
        reason = (
            "both are compiled: encoding a whole history is already fast, so a session gains less. "
            "The table of sessions has the time of one event"
        )
        yield Target(what, "sessions", title, value, 30, "", True, reason)
    yield Target(
        "one event of each of 1,000 users, mamba4rec",
        "sessions",
        "mamba4rec: one event of each of 1000 users",
        only("model.sessions().observe"),
        10,
        " µs per event",
        reason="the kernels take 70 % (`backbone.step` in the table above), Python the rest: the "
        "states of 1,000 users, 18 MB, are read and written once",
    )
    yield Target(
        "`session.recommend` at event 10,000 against event 10",
        "sessions",
        "mamba4rec: 50 recommendations",
        ratio("event 10000", "event 10"),
        1.2,
    )
    for name in ("gru4rec", "mamba4rec", "tim4rec", "elastic"):
        title = f"{name}: a training step on one history"
        reason = _ELASTIC if name == "elastic" else ""
        value = ratio("8,192 events", "512 events")
        yield Target(f"{_COST}, {name}", "length", title, value, 17, "", reason=reason)
    for name, time in (("mamba4rec", 0.15), ("tim4rec", 0.2), ("elastic", 0.3)):
        reason = _ELASTIC if name == "elastic" else ""
        value = ratio(name, "sasrec")
        yield Target(f"{_STEP}, {name}: time", "length", _BESIDE, value, time, reason=reason)
        yield Target(f"{_STEP}, {name}: memory", "length", _SIZE, value, 0.2, reason=_MEMORY)
    yield Target(
        "training step at 200 events, mamba4rec against sasrec",
        "training_step",
        "training step, 16 x 200",
        ratio("mamba4rec", "sasrec"),
        0.8,
    )
    best = only("index int8")
    what = "best of 1 million items, one user"
    yield Target(what, "catalogue", _BEST.format(1), best, 5, " ms", reason=_SEARCH)
    each = only("index int8", 1 / 64)
    yield Target(
        "best of 1 million items, each of 64 users", "catalogue", _BEST.format(64), each, 2, " ms"
    )
    yield Target(
        "training step, 1 million items",
        "catalogue",
        "training step, 1,000,000 items, sampled softmax",
        only("rows of the batch"),
        100,
        " ms",
    )
    written = only("prepared and written")
    what = "20 million interactions: time"
    yield Target(what, "preparation", "time", written, 15, " s", reason=_PREPARATION)
    yield Target(
        "20 million interactions: memory", "preparation", "peak memory", written, 1.5, " GB"
    )
    yield Target(
        "`seqzoo recommend` against importing torch and reading the weights",
        "start",
        "a start",
        ratio("seqzoo recommend", "import torch, read the weights"),
        1.2,
        reason=_START,
    )


TARGETS = tuple(_targets())
"""All targets, in the order of the page."""


class TargetError(Exception):
    """A target cannot be judged, or is missed without a reason; the message says what to do."""


def judged(
    found: Mapping[tuple[str, str], Values],
    commands: Mapping[str, str],
    targets: Sequence[Target] = TARGETS,
) -> tuple[list[list[str]], list[str]]:
    """A row for each target, and where the time goes for each one that is missed.

    Args:
        found: the values of each comparison, by the name of its result and its title.
        commands: the command of each stored result. A target without a stored result is open.
        targets: the targets.

    Returns:
        Rows of what, command, state, wanted and measured; and lines of a list.

    Raises:
        TargetError: a stored result lacks what its target reads, or a missed target has no reason.
    """
    rows: list[list[str]] = []
    reasons: dict[str, list[str]] = {}
    for target in targets:
        sign = "≥" if target.more else "≤"
        wanted = f"{sign} {target.wanted:g}{target.unit}"
        if target.result not in commands:
            rows.append([target.what, f"`{_again(target)}`", "open", wanted, "not measured"])
            continue
        number = _number(target, found)
        state = "met" if target.met(number) else "missed"
        measured = f"{number:.3g}{target.unit}"
        rows.append([target.what, f"`{commands[target.result]}`", state, wanted, measured])
        if state == "missed":
            if not target.reason:
                raise TargetError(
                    f"{target.what}: {measured} misses the target {wanted} and has no reason; "
                    "write where the time goes into its Target.reason in benchmarks/targets.py"
                )
            reasons.setdefault(target.reason, []).append(target.what)
    lines = [f"- **{'; '.join(missed)}**: {reason}." for reason, missed in reasons.items()]
    return rows, lines


def _again(target: Target) -> str:
    return f"python benchmarks/all.py --only {target.result}"


def _number(target: Target, found: Mapping[tuple[str, str], Values]) -> float:
    """The value of a target whose result is stored.

    Raises:
        TargetError: the result has no such comparison, or the comparison no such value.
    """
    values = found.get((target.result, target.title))
    try:
        if values is None:
            raise KeyError(target.title)
        return target.value(values)
    except KeyError as error:
        raise TargetError(
            f"{target.what}: benchmarks/results/{target.result}.json has no {error}; correct the "
            f"name in benchmarks/targets.py, or measure again: {_again(target)}"
        ) from None
