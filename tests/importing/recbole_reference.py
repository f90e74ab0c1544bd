"""Weights and scores of the real RecBole, to check an import against; run where it is installed.

``python recbole_reference.py --data FOLDER --out FOLDER``: FOLDER holds ``ml-100k/ml-100k.inter``.
For each model a few training steps, then its state dict, its vocabulary, 50 histories and the
scores that RecBole gives them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, init_seed

MODELS = ("SASRec", "GRU4Rec", "NARM")
STEPS = 30
HISTORIES = 50


def settings(data: Path, out: Path) -> dict[str, object]:
    """RecBole's configuration: its own defaults but for the data and the machine."""
    return {
        "data_path": str(data),
        "checkpoint_dir": str(out),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "user_inter_num_interval": "[5,inf)",
        "item_inter_num_interval": "[5,inf)",
        "MAX_ITEM_LIST_LENGTH": 50,
        "train_neg_sample_args": None,
        "train_batch_size": 512,
        "seed": 1,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
    }


def histories(dataset: object) -> list[list[int]]:
    """The first events of 50 users, 1 to 50 of them."""
    frame = dataset.inter_feat  # type: ignore[attr-defined]
    by_user: dict[int, list[int]] = {}
    for user, item in zip(frame["user_id"].tolist(), frame["item_id"].tolist(), strict=True):
        by_user.setdefault(user, []).append(item)
    long = [items for _, items in sorted(by_user.items()) if len(items) >= HISTORIES]
    return [items[: 1 + n] for n, items in enumerate(long[:HISTORIES])]


def main() -> None:
    """Train each model a little and write what it gives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        config = Config(model=name, dataset="ml-100k", config_dict=settings(given.data, given.out))
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        # Splitting adds the histories to the data set, so what they are made of is read before.
        sequences = histories(dataset)
        train, _, _ = data_preparation(config, dataset)
        model = get_model(name)(config, train.dataset)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        model.train()
        for _, batch in zip(range(STEPS), train, strict=False):
            optimizer.zero_grad()
            model.calculate_loss(batch).backward()
            optimizer.step()
        model.eval()
        rows = torch.zeros(len(sequences), 50, dtype=torch.int64)
        for row, items in enumerate(sequences):
            rows[row, : len(items)] = torch.tensor(items)
        lengths = torch.tensor([len(items) for items in sequences])
        asked = Interaction({"item_id_list": rows, "item_length": lengths})
        with torch.no_grad():
            scores = model.full_sort_predict(asked)
        tokens = dataset.field2id_token["item_id"]
        torch.save(model.state_dict(), given.out / f"{name}.pth")
        np.save(given.out / f"scores-{name}.npy", scores.numpy())
        texts = [[str(tokens[item]) for item in items] for items in sequences]
        (given.out / "histories.json").write_text(json.dumps(texts))
        (given.out / "vocabulary.txt").write_text("\n".join(map(str, tokens)) + "\n")


if __name__ == "__main__":
    main()
