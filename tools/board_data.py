"""What the board shows, as data: checkpoints and baselines by data and protocol, with their speed.

Metrics come from ``model_cards/`` and ``benchmarks/baselines.json``, speed and spread from
``benchmarks/results/board.json``, training times from ``benchmarks/results/training.json``,
published metrics from ``benchmarks/published.yaml`` alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

import seqzoo
from seqzoo.checkpoint.manifest import WEIGHTS, read_manifest

ROOT = Path(__file__).parent.parent
CARDS = ROOT / "model_cards"
BASELINES = ROOT / "benchmarks" / "baselines.json"
MEASURED = ROOT / "benchmarks" / "results" / "board.json"
TRAINED = ROOT / "benchmarks" / "results" / "training.json"
PUBLISHED = ROOT / "benchmarks" / "published.yaml"


@dataclass(frozen=True, kw_only=True)
class Published:
    """Metrics that others have published under a protocol of seqzoo.

    Attributes:
        data: registered name.
        protocol: registered name.
        model: as the source names it.
        metrics: values by name (``hit@10``).
        source: a paper or a repository.
        place: the table, file or thread there.
        differs: what is not as in the protocol, or not stated; empty if nothing is.
        architecture: the registered one that the model is; None for none.
        settings: settings of the model that the metrics require.
    """

    data: str
    protocol: str
    model: str
    metrics: dict[str, float]
    source: str
    place: str
    differs: str = ""
    architecture: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def is_of(self, architecture: str, config: Mapping[str, Any]) -> bool:
        """Whether these are metrics of such a model."""
        wanted = self.settings.items()
        return self.architecture == architecture and all(config.get(k) == v for k, v in wanted)


@dataclass(frozen=True)
class Speed:
    """What ``benchmarks/board.py`` measured of a model.

    Attributes:
        users_per_second: users who get recommendations in a second of processor time.
        ratio: that divided by the peer's.
        state_bytes: of a session; None for a model that keeps no state.
    """

    users_per_second: float
    ratio: float
    state_bytes: int | None


@dataclass(frozen=True)
class Row:
    """A checkpoint or a baseline on some data under a protocol.

    Attributes:
        name: of the checkpoint or of the baseline.
        baseline: whether it is a baseline.
        metrics: values by name.
        spread: half the width of the 95 % interval over users by name; empty if unmeasured.
        parameters: number of parameters; None for a baseline.
        speed: None if unmeasured.
        trained: seconds that the training took; None if they were not recorded.
        published: what others have published for the same model; None if nothing is known.
    """

    name: str
    baseline: bool
    metrics: Mapping[str, float]
    spread: Mapping[str, float]
    parameters: int | None
    speed: Speed | None
    trained: int | None
    published: Published | None


@dataclass(frozen=True)
class Table:
    """All results on the same data under the same protocol, the best NDCG@10 first.

    Attributes:
        data: name of the data, and their order where that is not the usual one.
        protocol: registered name.
        users: number of test users.
        rows: of checkpoints and baselines.
        published: everything that others have published here, the best first.
        measured: the entry of ``benchmarks/results/board.json``; None without one.
    """

    data: str
    protocol: str
    users: int
    rows: Sequence[Row]
    published: Sequence[Published]
    measured: Mapping[str, Any] | None

    @property
    def best(self) -> Row:
        """The checkpoint with the highest NDCG@10."""
        return next(row for row in self.rows if not row.baseline)


def documents(cards: Path = CARDS) -> Iterator[tuple[str, dict[str, Any]]]:
    """The information about each checkpoint of this repository, installed or not."""
    for config in sorted(cards.glob("*/config.json")):
        yield config.parent.name, seqzoo.info(config.parent)


def published(file: Path = PUBLISHED) -> list[Published]:
    """Published metrics, checked against the form of ``Published``."""
    entries = msgspec.yaml.decode(file.read_bytes(), type=list[dict[str, Any]])
    known = set(Published.__dataclass_fields__)
    for entry in entries:
        if unknown := entry.keys() - known:
            raise SystemExit(
                f"{file.name}: '{sorted(unknown)[0]}' of {entry.get('model')} is none of: "
                f"{', '.join(sorted(known))}"
            )
    return msgspec.convert(entries, type=list[Published])


def hit_and_ndcg(metrics: Mapping[str, float]) -> str:
    """HR@10 / NDCG@10 as text, as far as they are there."""
    return " / ".join(f"{metrics[key]:.4f}" for key in ("hit@10", "ndcg@10") if key in metrics)


def _quality(metrics: Mapping[str, float]) -> tuple[float, float]:
    return metrics.get("ndcg@10", 0.0), metrics.get("hit@10", 0.0)


def tables(
    cards: Path = CARDS,
    baselines: Path = BASELINES,
    measured: Path = MEASURED,
    others: Path = PUBLISHED,
    trained: Path = TRAINED,
) -> list[Table]:
    """All tables of the board, by the name of the data and of the protocol."""
    fitted = json.loads(baselines.read_text("utf-8"))
    entries = json.loads(measured.read_text("utf-8")) if measured.is_file() else []
    speeds = {entry["fingerprint"]: entry for entry in entries}
    runs = json.loads(trained.read_text("utf-8")) if trained.is_file() else {}
    known = sorted(published(others), key=lambda each: _quality(each.metrics), reverse=True)
    rows: dict[tuple[str, str], list[Row]] = {}
    facts: dict[tuple[str, str], Mapping[str, Any]] = {}
    for name, document in documents(cards):
        weights = read_manifest(Path(document["source"])).files[WEIGHTS]["sha256"]
        for protocol, entry in document["measured"].items():
            fingerprint, data = entry["data"]["fingerprint"], entry["data"]["name"]
            found = speeds.get(fingerprint, {}).get("models", {}).get(name)
            # Another file of weights under the same name has not been measured.
            own = found if found is not None and found["sha256"] == weights else None
            run = runs.get(name)
            row = Row(
                name=name,
                baseline=False,
                metrics=entry["metrics"],
                spread=_spread(own, protocol),
                parameters=document["parameters"],
                speed=_speed(own),
                trained=run["seconds"] if run and run["sha256"] == weights else None,
                published=next(
                    (
                        each
                        for each in known
                        if (each.data, each.protocol) == (data, protocol)
                        and each.is_of(document["architecture"], document["config"])
                    ),
                    None,
                ),
            )
            rows.setdefault((fingerprint, protocol), []).append(row)
            facts[fingerprint, protocol] = entry
    titles = _titles(facts, fitted)
    made = []
    for (fingerprint, protocol), own_rows in rows.items():
        entry, speed = facts[fingerprint, protocol], speeds.get(fingerprint)
        simple = _baselines(fitted, fingerprint, protocol, (speed or {}).get("models", {}))
        here = (entry["data"]["name"], protocol)
        made.append(
            Table(
                data=titles[fingerprint],
                protocol=protocol,
                users=entry["users"],
                rows=sorted(
                    [*own_rows, *simple], key=lambda row: _quality(row.metrics), reverse=True
                ),
                published=[each for each in known if (each.data, each.protocol) == here],
                measured=speed,
            )
        )
    return sorted(made, key=lambda table: (table.data, table.protocol))


def _titles(
    facts: Mapping[tuple[str, str], Mapping[str, Any]], fitted: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """A title for each fingerprint; the baselines' file knows those in another order of events."""
    known = {entry["fingerprint"]: entry["data"] for entry in fitted}
    titles: dict[str, str] = {}
    for (fingerprint, _), entry in facts.items():
        title = known.get(fingerprint, entry["data"]["name"])
        if title in {titles[each] for each in titles if each != fingerprint}:
            title = f"{title} ({fingerprint.rpartition(':')[2][:8]})"
        titles[fingerprint] = title
    return titles


def _baselines(
    fitted: Sequence[Mapping[str, Any]],
    fingerprint: str,
    protocol: str,
    models: Mapping[str, Mapping[str, Any]],
) -> list[Row]:
    return [
        Row(
            name=name,
            baseline=True,
            metrics=metrics,
            spread=_spread(models.get(name), protocol),
            parameters=None,
            speed=_speed(models.get(name)),
            trained=None,
            published=None,
        )
        for entry in fitted
        if (entry["fingerprint"], entry["protocol"]) == (fingerprint, protocol)
        for name, metrics in entry["baselines"].items()
    ]


def _spread(found: Mapping[str, Any] | None, protocol: str) -> Mapping[str, float]:
    return {} if found is None else found["spread"].get(protocol, {})


def _speed(found: Mapping[str, Any] | None) -> Speed | None:
    if found is None:
        return None
    return Speed(found["users_per_second"], found["ratio"], found["state_bytes"])
