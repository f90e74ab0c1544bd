"""Weights and scores of the real RecBole, to check an import against; run where it is installed.

``python recbole_reference.py --data FOLDER --out FOLDER``: FOLDER holds MovieLens-100K, as
GroupLens's ``u.data`` or as ``ml-100k.inter``, itself or in ``ml-100k``. For each model a few
training steps, then its state dict, its settings and the scores that RecBole gives 50 histories.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer, init_seed

DATASET = "ml-100k"
HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
STEPS = 30
LENGTH = 50
# With these, scores depend on the history after so few steps, which a check has to see.
RATES = {"SASRec": 0.001, "GRU4Rec": 0.005, "NARM": 0.001}
COMMON = ("MAX_ITEM_LIST_LENGTH", "loss_type", "learning_rate", "train_batch_size", "seed")
KEYS = {
    "SASRec": (
        "n_layers",
        "n_heads",
        "hidden_size",
        "inner_size",
        "hidden_dropout_prob",
        "attn_dropout_prob",
        "hidden_act",
        "layer_norm_eps",
        "initializer_range",
    ),
    "GRU4Rec": ("embedding_size", "hidden_size", "num_layers", "dropout_prob"),
    "NARM": ("embedding_size", "hidden_size", "n_layers", "dropout_probs"),
}


def settings(name: str, folder: Path) -> dict[str, object]:
    """RecBole's configuration: its defaults, except for data and device."""
    return {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "user_inter_num_interval": "[5,inf)",
        "item_inter_num_interval": "[5,inf)",
        "MAX_ITEM_LIST_LENGTH": LENGTH,
        "eval_args": {
            "split": {"LS": "valid_and_test"},
            "order": "TO",
            "group_by": "user",
            "mode": "full",
        },
        "train_neg_sample_args": None,
        "learning_rate": RATES[name],
        "train_batch_size": 128,
        "seed": 1,
        "reproducibility": True,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
    }


def write_atomic(data: Path, folder: Path) -> None:
    """Write the interactions where RecBole reads them, in its format."""
    target = folder / DATASET / f"{DATASET}.inter"
    target.parent.mkdir(parents=True)
    for place in (data, data / DATASET):
        if (place / "u.data").is_file():
            target.write_text(HEADER + (place / "u.data").read_text("utf-8"), "utf-8")
            return
        if (place / target.name).is_file():
            target.write_bytes((place / target.name).read_bytes())
            return
    raise SystemExit(f"{data} holds neither u.data nor {target.name}")


def histories(train: object) -> tuple[torch.Tensor, torch.Tensor]:
    """RecBole's own padded rows: one history of each length from 1 to 50, each of another user."""
    rows = train.inter_feat  # type: ignore[attr-defined]
    users, lengths = rows["user_id"].tolist(), rows["item_length"].tolist()
    seen: set[int] = set()
    chosen: dict[int, int] = {}
    # From behind, so that the users of the short histories are not the first of the file.
    for row in reversed(range(len(users))):
        if lengths[row] not in chosen and users[row] not in seen:
            chosen[lengths[row]] = row
            seen.add(users[row])
    picked = torch.tensor([chosen[length] for length in range(1, LENGTH + 1)])
    return rows["item_id_list"][picked], rows["item_length"][picked]


def reference(name: str, folder: Path, out: Path) -> tuple[list[str], list[list[str]]]:
    """Train a model briefly and write its weights and scores; returns vocabulary and histories."""
    config = Config(model=name, dataset=DATASET, config_dict=settings(name, folder))
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    items, lengths = histories(train.dataset)
    model = get_model(name)(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
    model.train()
    for _, batch in zip(range(STEPS), train, strict=False):
        trainer.optimizer.zero_grad()
        model.calculate_loss(batch).backward()
        trainer.optimizer.step()
    model.eval()
    with torch.no_grad():
        asked = Interaction({"item_id_list": items, "item_length": lengths})
        scores = model.full_sort_predict(asked)
    torch.save(model.state_dict(), out / f"{name}.pth")
    # What its users have on disk: with the configuration and the optimizer.
    trainer._save_checkpoint(0, verbose=False, saved_model_file=out / f"{name}.checkpoint.pth")
    np.save(out / f"scores-{name}.npy", scores.numpy().astype(np.float32))
    config_used = {key: config[key] for key in (*KEYS[name], *COMMON)}
    config_used |= {"model": name, "n_items": dataset.item_num, "steps": STEPS}
    (out / f"config-{name}.json").write_text(json.dumps(config_used, indent=2) + "\n", "utf-8")
    tokens = [str(token) for token in dataset.field2id_token["item_id"]]
    texts = [
        [tokens[item] for item in row[:length]]
        for row, length in zip(items.tolist(), lengths.tolist(), strict=True)
    ]
    return tokens, texts


def main() -> None:
    """Write the reference of each model; all must share their items and histories."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    data, out = given.data.resolve(), given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    del sys.argv[1:]  # RecBole's Config reads the command line too.
    warnings.simplefilter("ignore", FutureWarning)  # Of pandas 3, about RecBole's own lines.
    shared = None
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        write_atomic(data, Path(name))
        os.chdir(name)  # RecBole writes its logs where it runs.
        try:
            for model in KEYS:
                began = time.perf_counter()
                result = reference(model, Path(name), out)
                if shared is not None and result != shared:
                    raise SystemExit(f"{model} has other items or histories than the one before")
                shared = result
                sys.stdout.write(f"{model}: {time.perf_counter() - began:.1f} s\n")
        finally:
            os.chdir(before)
    tokens, texts = shared
    (out / "vocabulary.txt").write_text("\n".join(tokens) + "\n", "utf-8")
    (out / "histories.json").write_text(json.dumps(texts) + "\n", "utf-8")


if __name__ == "__main__":
    main()
