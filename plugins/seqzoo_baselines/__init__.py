"""Baselines that learn by counting, without gradients: popularity, item-knn, a Markov chain."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

_CONFIG = "seqzoo_baselines.config"


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the parts and the four architectures; one pass over the data trains each."""
    zoo.embedder(
        "item-index",
        "seqzoo_baselines.newest:ItemIndexEmbedder",
        config=f"{_CONFIG}:NewestItemsConfig",
    )
    zoo.backbone(
        "newest-items",
        "seqzoo_baselines.newest:NewestItems",
        config=f"{_CONFIG}:NewestItemsConfig",
        causal=True,
        streaming=True,
    )
    for name, target, config, defaults, paper, description in (
        (
            "popular",
            "seqzoo_baselines.popularity:PopularHead",
            "PopularConfig",
            {},
            "",
            "baseline: the items with the most interactions, the same for everyone",
        ),
        (
            "recent-popular",
            "seqzoo_baselines.popularity:RecentPopularHead",
            "RecentPopularConfig",
            {},
            "",
            "baseline: the items with the most interactions in the last days of the training data",
        ),
        (
            "item-knn",
            "seqzoo_baselines.item_knn:ItemKnnHead",
            "ItemKnnConfig",
            {"max_length": 20},
            "doi:10.1145/963770.963776",
            "baseline: the items most similar to the newest ones, by the users that they share",
        ),
        (
            "markov",
            "seqzoo_baselines.markov:MarkovHead",
            "MarkovConfig",
            {},
            "doi:10.1145/1772690.1772773",
            "baseline: what followed the newest item most often, a Markov chain of order 1",
        ),
    ):
        zoo.head(name, target, config=f"{_CONFIG}:{config}")
        zoo.architecture(
            name,
            embedder="item-index",
            backbone="newest-items",
            head=name,
            defaults=defaults,
            recipe={"epochs": 1, "patience": 1},
            paper=paper,
            description=description,
            baseline=True,
        )
