"""The generated sections of a model card: every metric in them comes from the checkpoint.

Names, ids and settings are untrusted, so they are escaped: ``markdown_text`` for prose and tables,
and the quoting of the language for code.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seqzoo.checkpoint.card_baselines import baselines_table
from seqzoo.checkpoint.markdown import code_span, markdown_text, python_text, shell_word
from seqzoo.metric_names import metric_title
from seqzoo.specs import DatasetSpec, PublishedMetrics

__all__ = ["ARXIV", "CardFacts", "data_name", "repository_page", "section_texts"]

ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})", re.IGNORECASE)

_MOST_SETTINGS = 40


@dataclass(frozen=True)
class CardFacts:
    """The content of a card.

    Attributes:
        name: name of the model, the title of the card.
        architecture: registered name.
        paper: the paper of the architecture, as registered (``arXiv:2403.03900``).
        description: the description of the architecture.
        config: resolved settings of the model.
        recipe: everything needed to reproduce it.
        metrics: stored metrics by protocol.
        vocabulary_size: number of items that it knows.
        parameters: number of parameters and buffers in its weights.
        size: bytes of the folder's files.
        dataset: the data set that it was trained on, if that is a registered one.
        source: the argument for ``seqzoo.load``.
        example: a few item ids that it knows, for the commands.
        published: published metrics for this architecture and these settings.
        curve: file name of the training curve in the card's folder, if there is one.
        distribution: the distribution of the plugin that provides the architecture.
        base_model: the Hub repository of the checkpoint that training started from.
        features: names of the item features that it reads.
        timed: whether models of the architecture read timestamps.
        query_timed: whether models of the architecture read the time of the request.
    """

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
    published: tuple[PublishedMetrics, ...] = ()
    curve: str | None = None
    distribution: str = "seqzoo"
    base_model: str | None = None
    features: tuple[str, ...] = ()
    timed: bool = False
    query_timed: bool = False

    def values(self, protocol: str) -> Mapping[str, float]:
        """The metrics of a protocol by name, for example ``hit@10``."""
        values: Mapping[str, float] = self.metrics[protocol]["metrics"]
        return values

    def data_name(self, protocol: str | None = None) -> str | None:
        """The name of the data in the metrics, or else in the recipe."""
        protocols = [protocol] if protocol is not None else list(self.metrics)
        return data_name(self.recipe, {key: self.metrics[key] for key in protocols})

    def data_id(self, protocol: str) -> str | None:
        """The name of the data in metadata."""
        name = self.data_name(protocol)
        return self.dataset.hub_id if self.dataset and name == self.dataset.name else name

    def data_title(self, protocol: str | None = None) -> str:
        """The name of the data for readers."""
        name = self.data_name(protocol)
        if self.dataset is not None and name in (None, self.dataset.name):
            return self.dataset.description.partition(":")[0] or self.dataset.name
        return name or "own data"


def data_name(recipe: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The name of the data that the metrics were measured on, or else that the recipe names."""
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
        # The block keeps the name that it has in published cards.
        "figures": _metrics(facts),
        "licence": _licence(facts),
        "training": _training(facts),
        "limits": _limits(facts),
        "files": _files(facts),
    }


def _about(facts: CardFacts) -> str:
    description = f": {markdown_text(facts.description).rstrip('.')}" if facts.description else ""
    paper = f" ({_paper(facts.paper)})" if facts.paper else ""
    trained = (
        f"It was trained on {markdown_text(facts.data_title())} and" if facts.data_name() else "It"
    )
    return (
        f"# {markdown_text(facts.name)}\n\n"
        "A sequential recommender: given the items that a user has interacted with, oldest first, "
        "it ranks the items that may come next. Architecture "
        f"{code_span(facts.architecture)}{paper}{description}.\n\n"
        f"{trained} knows {facts.vocabulary_size:,} items. It has {facts.parameters:,} parameters; "
        f"its files take {_bytes(facts.size)} in total.{_start(facts)}"
    )


def _start(facts: CardFacts) -> str:
    """The checkpoint that training started from, as a sentence."""
    if facts.base_model is not None:
        return f" It was fine-tuned from {repository_page(facts.base_model)}."
    start = facts.recipe.get("start")
    source = start.get("source") if isinstance(start, Mapping) else start
    return f" It was fine-tuned from {code_span(_last_component(str(source)))}." if source else ""


def repository_page(repo: str) -> str:
    """A link to a repository on the Hub."""
    return f"[{repo}](https://huggingface.co/{repo})"


def _use(facts: CardFacts) -> str:
    history = list(facts.example) or ["item-a", "item-b"]
    ids = ", ".join(map(python_text, history))
    words = " ".join(map(shell_word, history))
    packages = "seqzoo" if facts.distribution == "seqzoo" else f"seqzoo {facts.distribution}"
    return (
        "## Usage\n\n"
        f"```sh\npip install {packages}\n```\n\n"
        "```python\n"
        "import seqzoo\n\n"
        f"model = seqzoo.load({python_text(facts.source)})\n"
        f"print(model.recommend([{ids}], k=5))\n"
        "```\n\n"
        "The same on the command line:\n\n"
        f"```sh\nseqzoo recommend {shell_word(facts.source)} --history {words} -k 5\n```"
    )


def _metrics(facts: CardFacts) -> str:
    data = shell_word(facts.dataset.name) if facts.dataset is not None else "interactions.csv"
    command = f"seqzoo eval {shell_word(facts.source)} --data {data}"
    measured = [protocol for protocol in facts.metrics if facts.values(protocol)]
    if not measured:
        return (
            f"## Metrics\n\nNot measured yet. This command measures them:\n\n```sh\n{command}\n```"
        )
    parts = ["## Metrics"]
    for protocol in measured:
        title = markdown_text(facts.data_title(protocol))
        parts.append(f"### {title}, protocol {code_span(protocol)}")
        parts.append(_table(facts.values(protocol)))
        parts.append(_published(facts, protocol))
        parts.append(_baselines(facts, protocol))
        parts.append(_circumstances(facts.metrics[protocol]))
    parts.append(
        "Measured on the test split. All items are ranked unless the protocol says otherwise. To "
        "measure the metrics again and compare them with the stored ones:"
    )
    commands = "\n".join(
        command + ("" if protocol == "loo-full" else f" --protocol {shell_word(protocol)}")
        for protocol in measured
    )
    return "\n\n".join([*(part for part in parts if part), f"```sh\n{commands}\n```"])


def _baselines(facts: CardFacts, protocol: str) -> str:
    """The metrics of the baselines and of the checkpoint on the same test items."""
    entry, own = facts.metrics[protocol], facts.values(protocol)
    title = f"compared with baselines, {code_span(protocol, cell=True)}"
    if (sample := entry.get("baselines_sample")) is not None:
        own = sample["metrics"]
        title += f", on {sample['targets']:,} of {sample['of']:,} test items"
    return baselines_table(own, entry.get("baselines", {}), title)


def _table(values: Mapping[str, float]) -> str:
    """One row for each metric, one column for each cutoff; metrics without a cutoff below."""
    rows: dict[str, dict[int, float]] = {}
    others = {}
    for key, value in values.items():
        metric, _, cutoff = key.partition("@")
        if cutoff.isdigit():
            rows.setdefault(metric, {})[int(cutoff)] = value
        else:
            others[key] = value
    cutoffs = sorted({cutoff for row in rows.values() for cutoff in row})
    lines = []
    if rows:
        lines.append("| metric | " + " | ".join(f"@{cutoff}" for cutoff in cutoffs) + " |")
        lines.append("|---|" + "---:|" * len(cutoffs))
    for metric, row in rows.items():
        cells = (f"{row[cutoff]:.4f}" if cutoff in row else "" for cutoff in cutoffs)
        lines.append(f"| {markdown_text(metric_title(metric))} | " + " | ".join(cells) + " |")
    if others:
        texts = (f"{markdown_text(metric_title(key))} {value:.4g}" for key, value in others.items())
        lines += ["", ", ".join(texts)]
    return "\n".join(lines)


def _published(facts: CardFacts, protocol: str) -> str:
    """Published metrics on the same data under the same protocol, below this checkpoint's own."""
    data = facts.data_name(protocol)
    others = [each for each in facts.published if (each.data, each.protocol) == (data, protocol)]
    if not others:
        return ""
    keys = list(dict.fromkeys(key for each in others for key in each.metrics))
    title = f"on {markdown_text(facts.data_title(protocol))} under {code_span(protocol, cell=True)}"
    lines = [
        f"| {title} | {' | '.join(markdown_text(metric_title(key)) for key in keys)} |",
        "|---|" + "---:|" * len(keys),
    ]
    rows = [("this checkpoint", facts.values(protocol))]
    rows += [(markdown_text(each.source), each.metrics) for each in others]
    for source, values in rows:
        cells = (f"{values[key]:.4f}" if key in values else "" for key in keys)
        lines.append(f"| {source} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _circumstances(entry: Mapping[str, Any]) -> str:
    """The circumstances under which the metrics of a protocol were measured, on one line."""
    parts = [f"{entry[key]:,} {key}" for key in ("users", "items") if key in entry]
    named = {key: entry[key] for key in ("seed", "backend", "dtype") if key in entry}
    named |= entry.get("versions", {})
    parts += [f"{markdown_text(key)} {markdown_text(value)}" for key, value in named.items()]
    if split := entry.get("split"):
        parts.append(_split(split))
    if fingerprint := entry.get("data", {}).get("fingerprint"):
        parts.append(f"data fingerprint {code_span(fingerprint)}")
    return ", ".join(parts)


def _split(split: Mapping[str, Any]) -> str:
    """How the data were split, unless that needs no settings."""
    # Imported here because it is slow and listing checkpoints does without it.
    from seqzoo.data.summary import day_and_time

    settings = ", ".join(
        f"{markdown_text(key)} {markdown_text(value)}"
        for key, value in split.get("settings", {}).items()
        if value is not None
    )
    text = f"split {markdown_text(split['name'])}" + (f" ({settings})" if settings else "")
    if (begins := split.get("begins")) is not None:
        text += f", test from {day_and_time(begins)}"
    counts = (("targets", "targets"), ("new_users", "new users"), ("left_out", "users left out"))
    return ", ".join([text, *(f"{split[key]:,} {what}" for key, what in counts if split.get(key))])


def _licence(facts: CardFacts) -> str:
    dataset = facts.dataset
    heading = "## Data and licence\n\n"
    if dataset is None:
        return (
            f"{heading}Trained on {markdown_text(facts.data_title())}. seqzoo does not know the "
            "terms of these data. If you publish these weights, state below this block where the "
            "data come from and what the weights may be used for."
        )
    lines = [f"Trained on {markdown_text(dataset.description or dataset.name)}."]
    if dataset.url:
        lines.append(f"The data come from <{dataset.url}>; they are not part of this folder.")
    if dataset.licence:
        lines.append(
            f"Terms of the data: {markdown_text(dataset.licence)}. Use the weights only as those "
            "terms allow."
        )
    text = heading + " ".join(lines)
    if dataset.citation:
        text += f"\n\nPlease cite: {markdown_text(dataset.citation, links=True)}"
    return text


def _training(facts: CardFacts) -> str:
    if not facts.recipe:
        return (
            "## Training\n\nThe recipe is empty: this checkpoint was not saved by `seqzoo train` "
            "and cannot be reproduced from it."
        )
    rows = [
        f"| {code_span(key, cell=True)} | {markdown_text(value)} |"
        for key, value in _leaves(facts.recipe)
    ]
    more = len(rows) - _MOST_SETTINGS
    if more > 0:
        rows = [*rows[:_MOST_SETTINGS], f"| and {more} more | in `recipe.yaml` |"]
    table = "\n".join(["| setting | value |", "|---|---|", *rows])
    curve = f"![Loss and validation metric by epoch]({facts.curve})\n\n" if facts.curve else ""
    return (
        f"## Training\n\n{curve}{table}\n\n"
        "`recipe.yaml` holds the whole recipe. To train the model again:\n\n"
        "```sh\nseqzoo train recipe.yaml\n```"
    )


def _limits(facts: CardFacts) -> str:
    known = f"- The model knows only the {facts.vocabulary_size:,} items of `vocabulary.json`; new "
    used = "- It uses only the order of the interactions; "
    if facts.timed:
        used = "- It uses the order and, unless settings exclude them, the timestamps of events; "
    if facts.features:
        names = ", ".join(map(code_span, facts.features))
        known += "items are added with their features (`model.extend`). "
        used += f"of the items it reads the features {names}. No user attributes are used."
    else:
        known += "items require training. "
        used += "no user or item attributes are used."
    lines = [f"{known}Unknown ids in a history are skipped.", used]
    window = facts.config.get("max_length")
    if isinstance(window, int):
        lines.append(f"- It reads the newest {window:,} events of a history.")
    if facts.query_timed:
        lines.append(
            "- If it reads the time of the request, the metrics were measured with the time of the "
            "event that is predicted. Recommendations long before that event are less accurate."
        )
    lines.append(
        "- The metrics were measured offline on logged data. They compare models under one "
        "protocol and do not predict how users will react. Popular items are favoured, as in the "
        "data."
    )
    return "## Limits\n\n" + "\n".join(lines)


def _files(facts: CardFacts) -> str:
    features = "| `item_features.safetensors` | the features of the items |\n"
    return (
        "## Files\n\n"
        "| file | content |\n|---|---|\n"
        "| `config.json` | architecture, settings, and the sha256 and size of the files below |\n"
        "| `model.safetensors` | the weights; nothing here is pickled or executed |\n"
        "| `vocabulary.json` | item ids in index order, and titles if there are any |\n"
        f"{features if facts.features else ''}"
        "| `recipe.yaml` | everything needed to reproduce the model |\n"
        "| `metrics.json` | the metrics above, in full |\n"
        "| `README.md` | this card; text outside the `seqzoo:generated` blocks is kept |"
    )


def _paper(paper: str) -> str:
    found = ARXIV.fullmatch(paper)
    return f"[{paper}](https://arxiv.org/abs/{found[1]})" if found else markdown_text(paper)


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", ", ".join(_last_component(str(each)) for each in value)
        elif value is not None:
            yield f"{prefix}{key}", _last_component(value) if isinstance(value, str) else value


def _last_component(text: str) -> str:
    """The last name of an absolute path, because a card must not reveal folders of a machine."""
    absolute = text.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", text)
    return re.split(r"[\\/]", text.rstrip("\\/"))[-1] if absolute else text


def _bytes(size: int) -> str:
    if size < 1024:
        return f"{size} bytes"
    kibibytes = size / 1024
    return f"{kibibytes:.0f} KiB" if kibibytes < 1024 else f"{kibibytes / 1024:.1f} MiB"
