"""trec_eval's measures of one relevant item per user, through pytrec_eval."""

import numpy as np
import pytrec_eval
from exchange import Arrays, serve

CUTOFFS = (5, 10, 20, 50)
MEASURES = {f"{name}.{','.join(map(str, CUTOFFS))}" for name in ("success", "ndcg_cut")}


def measures(names: np.ndarray, scores: np.ndarray, target: int) -> dict[str, float]:
    """HR, NDCG and MRR of one ranking; equal scores are ranked by descending name."""
    evaluator = pytrec_eval.RelevanceEvaluator(
        {"user": {str(names[target]): 1}}, MEASURES | {"recip_rank"}
    )
    run = dict(zip(names.tolist(), scores.tolist(), strict=True))
    (found,) = evaluator.evaluate({"user": run}).values()
    metrics = {}
    for cutoff in CUTOFFS:
        hit = found[f"success_{cutoff}"]
        metrics |= {
            f"hit@{cutoff}": hit,
            f"ndcg@{cutoff}": found[f"ndcg_cut_{cutoff}"],
            f"mrr@{cutoff}": hit * found["recip_rank"],
        }
    return metrics


def averaged_over_ties(given: Arrays) -> Arrays:
    """The metrics of each user, averaged over the ranks that the target can take in its tie.

    ``scores`` [U, V] are NaN for items that are not candidates; ``targets`` [U] are columns. Names
    are dealt out so that the target takes each place of its tie once.
    """
    names = np.array([f"item{index:06d}" for index in range(given["scores"].shape[1])])
    rows = []
    for scores, target in zip(given["scores"], given["targets"], strict=True):
        candidates = np.flatnonzero(~np.isnan(scores))
        scores, target = scores[candidates], int(np.searchsorted(candidates, target))
        places = []
        for other in np.flatnonzero(scores == scores[target]):
            dealt = names[candidates]
            dealt[[target, other]] = dealt[[other, target]]
            places.append(measures(dealt, scores, target))
        rows.append({key: np.mean([place[key] for place in places]) for key in places[0]})
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


if __name__ == "__main__":
    serve({"averaged_over_ties": averaged_over_ties})
