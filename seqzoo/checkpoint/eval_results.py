"""``.eval_results/``: the main metrics of a checkpoint in the form of the Hub's leaderboards.

The file is generated when a checkpoint is pushed and is not part of the checkpoint: no other file
records it, and no reader fetches it.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from seqzoo.checkpoint.card_metadata import INDEXED
from seqzoo.checkpoint.card_sections import data_name
from seqzoo.checkpoint.markdown import shell_word
from seqzoo.metric_names import metric_title
from seqzoo.plugins import catalogue

__all__ = ["EVAL_RESULTS", "render_eval_results"]

EVAL_RESULTS = ".eval_results/seqzoo.yaml"
"""Its path in a repository; people may put other files next to it."""


def render_eval_results(
    recipe: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]], source: str
) -> bytes | None:
    """The content of ``.eval_results/seqzoo.yaml``, one entry for each protocol and metric.

    Args:
        recipe: the recipe of the checkpoint.
        metrics: its stored metrics by protocol.
        source: the argument for ``seqzoo.load``.

    Returns:
        None without metrics on a registered data set: results on other data cannot be compared.
    """
    # Imported here because it is slow and listing checkpoints does without it.
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    datasets = catalogue().datasets
    entries = []
    for protocol, entry in metrics.items():
        name = data_name(recipe, {protocol: entry})
        if name is None or name not in datasets:
            continue
        command = f"seqzoo eval {shell_word(source)} --data {shell_word(name)}"
        if protocol != "loo-full":
            command += f" --protocol {shell_word(protocol)}"
        entries += [
            EvalResultEntry(
                dataset_id=datasets.get(name).hub_id,
                task_id=f"{protocol}_{metric.replace('@', '_at_')}",
                value=float(entry["metrics"][metric]),
                notes=f"{metric_title(metric)}, protocol {protocol}; measure again: {command}",
            )
            for metric in INDEXED
            if metric in entry["metrics"]
        ]
    if not entries:
        return None
    document = eval_result_entries_to_yaml(entries)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000).encode()
