"""Model cards: the YAML at the top, what the Hub finds wrong with it, and the tags it gives."""

import re
from collections.abc import Mapping
from typing import Any

import yaml


def read(text: str) -> tuple[dict[str, Any] | None, list[str]]:
    """A card's metadata (None without any) and what is wrong with it."""
    lines = text.lstrip("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return None, []
    ends = [number for number, line in enumerate(lines) if number and line.rstrip() == "---"]
    if not ends:
        return None, ["The YAML at the top of the card has no end"]
    try:
        text = "\n".join(lines[1 : ends[0]])
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            return None, ["YAML metadata must do without aliases"]
        metadata = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return None, [f"YAML metadata is not valid: {' '.join(str(error).split())}"]
    if metadata is None:
        return {}, []
    if not isinstance(metadata, dict):
        return None, ["YAML metadata must be a mapping"]
    return metadata, list(_mistakes(metadata))


def _mistakes(metadata: dict[str, Any]) -> list[str]:
    """What the Hub's schema refuses, in part: names, lists of names, and model-index."""
    mistakes = [
        f'"{key}" must be a string'
        for key in ("library_name", "pipeline_tag", "license_name", "license_link", "model_name")
        if not isinstance(metadata.get(key, ""), str)
    ]
    mistakes += [
        f'"{key}" must be a string or an array of strings'
        for key in ("license", "language", "datasets", "metrics", "base_model", "tags")
        if not all(isinstance(value, str) for value in many(metadata.get(key)))
    ]
    relations = ("adapter", "finetune", "merge", "quantized")
    if metadata.get("base_model_relation", relations[0]) not in relations:
        mistakes.append(f'"base_model_relation" must be one of {relations}')
    if not isinstance(metadata.get("tags", []), list):
        mistakes.append('"tags" must be an array')
    index = metadata.get("model-index", [])
    if not isinstance(index, list):
        return [*mistakes, '"model-index" must be an array']
    for number, model in enumerate(index):
        where = f"model-index[{number}]"
        mistakes += _missing(model, where, "name")
        results = model.get("results") if isinstance(model, dict) else None
        if not isinstance(results, list):
            mistakes.append(f'"{where}.results" must be an array')
            continue
        for position, result in enumerate(results):
            place = f"{where}.results[{position}]"
            mistakes += _missing(result, place, "task", "metrics")
            if not isinstance(result, dict):
                continue
            mistakes += _missing(result.get("task", {}), f"{place}.task", "type")
            if "dataset" in result:
                mistakes += _missing(result["dataset"], f"{place}.dataset", "type", "name")
            for rank, metric in enumerate(many(result.get("metrics"))):
                mistakes += _missing(metric, f"{place}.metrics[{rank}]", "type", "value")
    return mistakes


def _missing(value: object, where: str, *keys: str) -> list[str]:
    if not isinstance(value, dict):
        return [f'"{where}" must be an object']
    return [f'"{where}.{key}" is required' for key in keys if value.get(key) is None]


def eval_results(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """What the Hub reads in ``.eval_results/``: entries, or what is wrong with a file."""
    found: list[dict[str, Any]] = []
    for path, content in sorted(files.items()):
        if not re.fullmatch(r"\.eval_results/[^/]+\.yaml", path):
            continue
        try:
            for entry in yaml.safe_load(content):
                dataset = entry["dataset"]
                good = isinstance(dataset["id"], str) and isinstance(dataset["task_id"], str)
                if not good or not isinstance(entry["value"], int | float):
                    raise ValueError(f"not an entry: {entry}")
                found.append({"filename": path, "data": entry})
        except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            found.append({"filename": path, "error": str(error)})
    return found


def many(value: object) -> list[Any]:
    """A list of what may be one thing, several or none."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def labels(metadata: dict[str, Any]) -> list[str]:
    """The tags that the Hub shows for a card and filters by."""
    found = [metadata.get("library_name"), metadata.get("pipeline_tag")]
    found += many(metadata.get("tags"))
    found += many(metadata.get("language"))
    for key, prefix in (("datasets", "dataset"), ("base_model", "base_model")):
        found += [f"{prefix}:{value}" for value in many(metadata.get(key))]
    found += [f"license:{value}" for value in many(metadata.get("license"))]
    if "model-index" in metadata:
        found.append("model-index")
    return [*dict.fromkeys(str(label) for label in found if label), "region:us"]
