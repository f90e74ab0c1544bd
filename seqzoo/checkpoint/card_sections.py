"""The generated sections of a model card: every figure in them comes from the checkpoint."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seqzoo.specs import DatasetSpec, PublishedFigures

_MOST_SETTINGS = 40


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from; the fields are the arguments of ``model_card``."""

    name: str
    architecture: str
    paper: str
    description: str
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    vocabulary_size: int
    parameters: int
    size: int
    dataset: DatasetSpec | None
    source: str
    example: tuple[str, ...]
    published: tuple[PublishedFigures, ...] = ()
    curve: str | None = None

    def figures(self, protocol: str) -> dict[str, float]:
        """The numbers of a protocol by name, ``hit@10`` say."""
        values = self.metrics[protocol].get("metrics", {})
        return {
            key: value
            for key, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }

    def data_name(self, protocol: str | None = None) -> str | None:
        """What the data are called, in the figures or else in the recipe."""
        protocols = [protocol] if protocol is not None else list(self.metrics)
        return data_name(self.recipe, {key: self.metrics[key] for key in protocols})

    def data_title(self, protocol: str | None = None) -> str:
        """The data's name for people."""
        name = self.data_name(protocol)
        if self.dataset is not None and name in (None, self.dataset.name):
            return self.dataset.description.partition(":")[0] or self.dataset.name
        return name or "own data"


def data_name(recipe: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The name of the data that figures were measured on, or else that the recipe names."""
    entries = [entry.get("data") for entry in metrics.values() if isinstance(entry, Mapping)]
    for entry in [*entries, recipe.get("data")]:
        name = entry.get("name") if isinstance(entry, Mapping) else entry
        if isinstance(name, str) and name:
            return _last_component(name)
    return None


def section_texts(facts: CardFacts) -> dict[str, str]:
    """Markdown by section, in the order of the card."""
    return {
        "about": _about(facts),
        "use": _use(facts),
        "figures": _figures(facts),
        "licence": _licence(facts),
        "training": _training(facts),
        "limits": _limits(facts),
        "files": _files(),
    }


def _about(facts: CardFacts) -> str:
    description = f": {_inline(facts.description).rstrip('.')}" if facts.description else ""
    paper = f" ({_paper(facts.paper)})" if facts.paper else ""
    trained = f"It was trained on {_inline(facts.data_title())} and" if facts.data_name() else "It"
    return (
        f"# {_inline(facts.name)}\n\n"
        f"A sequential recommender: from the items that a user has met, oldest first, it ranks "
        f"those to come next. Architecture `{facts.architecture}`{paper}{description}.\n\n"
        f"{trained} knows {facts.vocabulary_size:,} items. It has {facts.parameters:,} parameters; "
        f"all files together take {_bytes(facts.size)}."
    )


def _use(facts: CardFacts) -> str:
    history = list(facts.example) or ["item-a", "item-b"]
    source = json.dumps(facts.source, ensure_ascii=False)
    ids = ", ".join(json.dumps(item, ensure_ascii=False) for item in history)
    shell = f"seqzoo recommend {shlex.quote(facts.source)} --history {shlex.join(history)} -k 5"
    return (
        "## Use it\n\n"
        "```python\n"
        "import seqzoo\n\n"
        f"model = seqzoo.load({source})\n"
        f"model.recommend([{ids}], k=5)\n"
        "```\n\n"
        f"```console\n$ pip install seqzoo\n$ {shell}\n```"
    )


def _figures(facts: CardFacts) -> str:
    command = f"seqzoo eval {shlex.quote(facts.source)} --data {_data_argument(facts)}"
    measured = [protocol for protocol in facts.metrics if facts.figures(protocol)]
    if not measured:
        return f"## Figures\n\nNot measured yet. This measures it:\n\n```console\n$ {command}\n```"
    parts = ["## Figures"]
    for protocol in measured:
        entry = facts.metrics[protocol]
        parts.append(f"### {_inline(facts.data_title(protocol))}, protocol `{protocol}`")
        parts.append(_table(facts.figures(protocol)))
        parts.append(_published(facts, protocol))
        parts.append(_circumstances(entry))
    parts.append("Measured on the test split, all items ranked unless the protocol says otherwise;")
    parts[-1] += " this measures them again beside the stored ones:"
    commands = "\n".join(
        f"$ {command}" + ("" if protocol == "loo-full" else f" --protocol {shlex.quote(protocol)}")
        for protocol in measured
    )
    return "\n\n".join([*(part for part in parts if part), f"```console\n{commands}\n```"])


def _table(figures: Mapping[str, float]) -> str:
    """One row for each metric, one column for each cutoff; figures without a cutoff below."""
    cells: dict[str, dict[int, float]] = {}
    others = {}
    for key, value in figures.items():
        metric, _, cutoff = key.partition("@")
        if cutoff.isdigit():
            cells.setdefault(metric, {})[int(cutoff)] = value
        else:
            others[key] = value
    cutoffs = sorted({cutoff for row in cells.values() for cutoff in row})
    lines = []
    if cells:
        lines.append("| metric | " + " | ".join(f"@{cutoff}" for cutoff in cutoffs) + " |")
        lines.append("|---|" + "---:|" * len(cutoffs))
    for metric, row in cells.items():
        values = (f"{row[cutoff]:.4f}" if cutoff in row else "" for cutoff in cutoffs)
        lines.append(f"| {_inline(metric)} | " + " | ".join(values) + " |")
    if others:
        lines += ["", ", ".join(f"{_inline(key)} {value:.4g}" for key, value in others.items())]
    return "\n".join(lines)


def _published(facts: CardFacts, protocol: str) -> str:
    """Figures of others on the same data under the same protocol, this model's own first."""
    data = facts.data_name(protocol)
    others = [each for each in facts.published if (each.data, each.protocol) == (data, protocol)]
    if not others:
        return ""
    own = facts.figures(protocol)
    keys = list(dict.fromkeys(key for each in others for key in each.metrics))
    rows = [("this checkpoint", own), *((_inline(each.source), each.metrics) for each in others)]
    lines = [
        f"| on {_inline(facts.data_title(protocol))} under `{protocol}` | {' | '.join(keys)} |",
        "|---|" + "---:|" * len(keys),
    ]
    for source, figures in rows:
        values = (f"{figures[key]:.4f}" if key in figures else "" for key in keys)
        lines.append(f"| {source} | {' | '.join(values)} |")
    return "\n".join(lines)


def _circumstances(entry: Mapping[str, Any]) -> str:
    """Under what the figures of a protocol were measured, in a line."""
    counts = [key for key in ("users", "items") if isinstance(entry.get(key), int)]
    parts = [f"{entry[key]:,} {key}" for key in counts]
    parts += [
        f"{key} {_inline(entry[key])}" for key in ("seed", "backend", "dtype") if key in entry
    ]
    versions = entry.get("versions")
    if isinstance(versions, Mapping):
        parts += [f"{_inline(key)} {_inline(value)}" for key, value in versions.items()]
    data = entry.get("data")
    if isinstance(data, Mapping) and data.get("fingerprint"):
        parts.append(f"data fingerprint `{_inline(data['fingerprint'])}`")
    return ", ".join(parts)


def _licence(facts: CardFacts) -> str:
    dataset = facts.dataset
    heading = "## Data and licence\n\n"
    if dataset is None:
        return (
            f"{heading}Trained on {_inline(facts.data_title())}, which seqzoo knows nothing more "
            "about. Whoever publishes these weights should say below this block whose data they "
            "come from and what they may be used for."
        )
    lines = [f"Trained on {_inline(dataset.description or dataset.name)}."]
    if dataset.url:
        lines.append(f"The data come from <{dataset.url}>; they are not part of this folder.")
    if dataset.licence:
        lines.append(
            f"Terms of the data: {_inline(dataset.licence)}. Weights learnt from them are meant "
            "for no more than those terms allow."
        )
    if dataset.citation:
        lines.append(f"\n\nPlease cite: {_inline(dataset.citation)}")
    return heading + " ".join(lines).replace(" \n\n", "\n\n")


def _training(facts: CardFacts) -> str:
    if not facts.recipe:
        return (
            "## Training\n\nThe recipe is empty: this checkpoint was saved by hand and cannot be "
            "reproduced from it."
        )
    rows = [f"| `{key}` | {_inline(value)} |" for key, value in _leaves(facts.recipe)]
    more = len(rows) - _MOST_SETTINGS
    if more > 0:
        rows = [*rows[:_MOST_SETTINGS], f"| and {more} more | in `recipe.yaml` |"]
    table = "\n".join(["| setting | value |", "|---|---|", *rows])
    curve = f"![Loss and validation figure by epoch]({facts.curve})\n\n" if facts.curve else ""
    return (
        f"## Training\n\n{curve}{table}\n\n"
        "The whole recipe is in `recipe.yaml`; it trains the model "
        "again:\n\n```console\n$ seqzoo train recipe.yaml\n```"
    )


def _limits(facts: CardFacts) -> str:
    lines = [
        f"- It knows the {facts.vocabulary_size:,} items of `vocabulary.json` and no others; new "
        "items need new training. Unknown ids in a history are left out.",
        "- It knows nothing of users but their history, and nothing of items but who met them "
        "after what.",
    ]
    window = facts.config.get("max_length")
    if isinstance(window, int):
        lines.append(f"- It reads the newest {window:,} events of a history.")
    lines.append(
        "- The figures are offline ones on logged data. They compare models under one protocol; "
        "they do not say what users will do, and popular items are favoured as the log favours "
        "them."
    )
    return "## Limits\n\n" + "\n".join(lines)


def _files() -> str:
    return (
        "## Files\n\n"
        "| file | holds |\n|---|---|\n"
        "| `config.json` | architecture, settings, and the sha256 and size of the files below |\n"
        "| `model.safetensors` | the weights; nothing here is pickled or executed |\n"
        "| `vocabulary.json` | item ids in index order, and titles where there are any |\n"
        "| `recipe.yaml` | what reproduces the model |\n"
        "| `metrics.json` | the figures above, in full |\n"
        "| `README.md` | this card; text outside the `seqzoo:generated` blocks is kept |"
    )


def _paper(paper: str) -> str:
    found = re.fullmatch(r"arXiv:(\d{4}\.\d{4,5})", paper, re.IGNORECASE)
    return f"[{paper}](https://arxiv.org/abs/{found[1]})" if found else _inline(paper)


def _data_argument(facts: CardFacts) -> str:
    if facts.dataset is not None:
        return shlex.quote(facts.dataset.name)
    return "interactions.csv"


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", _last_component(value) if isinstance(value, str) else value


def _last_component(text: str) -> str:
    """Of an absolute path only the last name: where data lay on a machine is nobody's business."""
    absolute = text.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", text)
    return re.split(r"[\\/]", text.rstrip("\\/"))[-1] if absolute else text


def _inline(value: object) -> str:
    """A value in running text or a table: no markup and no line break gets through."""
    text = " ".join(str(value).split())
    return text.replace("<", "&lt;").replace("|", "\\|")


def _bytes(size: int) -> str:
    if size < 1024:
        return f"{size} bytes"
    kibibytes = size / 1024
    return f"{kibibytes:.0f} KiB" if kibibytes < 1024 else f"{kibibytes / 1024:.1f} MiB"
