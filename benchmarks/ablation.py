"""Train the variants of a study with several seeds and write the table of what they reach.

``python benchmarks/ablation.py time --data PATH`` trains every run of the study ``time`` in
``studies.yaml``, resumes what was stopped, and prints the table. Compare variants by the metrics of
the validation items; those of the test items are shown for information.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

STUDIES = Path(__file__).parent / "studies.yaml"


def train(out: Path, architecture: str, settings: list[str], data: str, threads: int) -> None:
    """One run in a process of its own; a finished one is left as it is."""
    if _finished(out):
        return
    command = [sys.executable, "-m", "seqzoo", "train", architecture, "--data", data]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_name(f"{out.name}.log").open("w") as log:
        subprocess.run(
            [*command, "--out", str(out), *settings],
            check=True,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )


def _finished(out: Path) -> bool:
    progress = out / "training" / "progress.json"
    return (
        progress.is_file()
        and json.loads(progress.read_text())["finished"]
        and (out / "metrics.json").is_file()
        and "loo-full" in json.loads((out / "metrics.json").read_text())
    )


def measured(out: Path) -> dict[str, float]:
    """What one finished run reached."""
    progress = json.loads((out / "training" / "progress.json").read_text())
    metrics = json.loads((out / "metrics.json").read_text())
    reached = {
        "validation NDCG@10": progress["best_value"],
        "epochs": len(progress["epochs"]),
        "minutes": progress["seconds"] / 60,
    }
    for protocol in ("loo-full", "loo-full-unseen"):
        for name, key in (("HR@10", "hit@10"), ("NDCG@10", "ndcg@10")):
            reached[f"{protocol} {name}"] = metrics[protocol]["metrics"][key]
    return reached


def table(runs: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: mean and standard deviation over the seeds, one line for each variant."""
    columns = [
        "validation NDCG@10",
        "loo-full HR@10",
        "loo-full NDCG@10",
        "loo-full-unseen HR@10",
        "loo-full-unseen NDCG@10",
    ]
    heads = [column.replace("loo-full-unseen", "`loo-full-unseen`") for column in columns]
    heads = [head.replace("loo-full ", "`loo-full` ") for head in heads]
    lines = [
        f"| variant | seeds | {' | '.join(heads)} | epochs | minutes |",
        "|---|---:|" + "---:|" * (len(columns) + 2),
    ]
    for variant, finished in runs.items():
        if not finished:
            continue
        cells = [_spread([run[column] for run in finished]) for column in columns]
        epochs = statistics.mean(run["epochs"] for run in finished)
        minutes = statistics.mean(run["minutes"] for run in finished)
        shown = " | ".join(cells)
        lines.append(f"| {variant} | {len(finished)} | {shown} | {epochs:.0f} | {minutes:.1f} |")
    return "\n".join(lines)


def write(path: Path, study: str, text: str, *, keep: bool = False) -> None:
    """Put a table between the marks of its study, and leave the rest of the file alone.

    Args:
        path: the file.
        study: name of the study.
        text: the table.
        keep: keep the rows of the variants that the table lacks, each in its place.
    """
    begin, end = f"<!-- study: {study} -->", "<!-- /study -->"
    before, mark, rest = path.read_text().partition(begin)
    block, closed, after = rest.partition(end)
    if not mark or not closed:
        raise SystemExit(f"{path} has no block {begin} … {end}")
    lines = text.splitlines()
    if keep:
        measured = {_variant(line): line for line in lines[2:]}
        present = block.strip().splitlines()
        lines = [measured.pop(_variant(line), line) for line in present] + list(measured.values())
    text = "\n".join(lines)
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _variant(line: str) -> str:
    return line.split("|")[1].strip()


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.4f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.4f}"


def main() -> None:
    """Train what is missing, then print the table of all that is finished."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    studies: dict[str, dict[str, Any]] = yaml.safe_load(STUDIES.read_text())
    parser.add_argument("study", choices=studies)
    parser.add_argument("--data", default="ml-100k", help="a data set's name or a path")
    parser.add_argument("--out", type=Path, default=Path("runs/studies"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--threads", type=int, default=1, help="threads of each run")
    parser.add_argument("--only", nargs="*", help="only these variants")
    parser.add_argument(
        "--write", type=Path, help="put the table, or the rows of --only, in this file"
    )
    parser.add_argument("--no-train", action="store_true", help="only print what is finished")
    given = parser.parse_args()

    study = studies[given.study]
    folder = given.out / given.study
    # Seeds outside, variants inside: what is stopped early has compared all variants once.
    jobs = [
        (variant, seed, settings)
        for seed in study.get("seeds", [0, 1, 2])
        for variant, settings in study["variants"].items()
        if not given.only or variant in given.only
    ]

    def folder_of(variant: str, seed: int) -> Path:
        return Path(folder / f"{variant.replace(' ', '-')}-seed{seed}")

    if not given.no_train:
        with ThreadPoolExecutor(given.jobs) as pool:
            started = [
                pool.submit(
                    train,
                    folder_of(variant, seed),
                    settings["architecture"],
                    [*study.get("common", []), *settings.get("set", []), f"train.seed={seed}"],
                    given.data,
                    given.threads,
                )
                for variant, seed, settings in jobs
            ]
            for run in started:
                run.result()
    runs: dict[str, list[dict[str, float]]] = {}
    for variant, seed, _ in jobs:
        finished = runs.setdefault(variant, [])
        if _finished(folder_of(variant, seed)):
            finished.append(measured(folder_of(variant, seed)))
    print(table(runs))
    if given.write is not None:
        write(given.write, given.study, table(runs), keep=bool(given.only))


if __name__ == "__main__":
    main()
