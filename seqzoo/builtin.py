"""Everything the core itself brings, registered through the hook that every plugin uses."""

from seqzoo.builtin_datasets import DATASETS
from seqzoo.hookspecs import hookimpl
from seqzoo.registry import Registrar

_CONFIG = "seqzoo.parts.config"


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the core's embedders, heads, losses, data sets, metrics, protocols and verbs."""
    zoo.embedder(
        "item", "seqzoo.parts.embedders:ItemEmbedder", config=f"{_CONFIG}:ItemEmbedderConfig"
    )
    zoo.embedder(
        "item-position",
        "seqzoo.parts.embedders:ItemPositionEmbedder",
        config=f"{_CONFIG}:ItemPositionEmbedderConfig",
    )

    zoo.head(
        "tied-softmax", "seqzoo.parts.heads:TiedSoftmaxHead", config=f"{_CONFIG}:TiedSoftmaxConfig"
    )
    zoo.head(
        "cosine-softmax",
        "seqzoo.parts.heads:CosineSoftmaxHead",
        config=f"{_CONFIG}:CosineSoftmaxConfig",
    )

    for name, loss, config in (
        ("cross-entropy", "CrossEntropy", "CrossEntropyConfig"),
        ("sampled-softmax", "SampledSoftmax", "SampledSoftmaxConfig"),
        ("bce", "BinaryCrossEntropy", "NegativesConfig"),
        ("gbce", "GeneralisedBinaryCrossEntropy", "GeneralisedBceConfig"),
        ("bpr", "BayesianPersonalisedRanking", "NegativesConfig"),
    ):
        zoo.loss(name, f"seqzoo.parts.losses:{loss}", config=f"{_CONFIG}:{config}")

    for name, function in (("hit", "hit"), ("ndcg", "ndcg"), ("mrr", "mrr")):
        zoo.metric(name, f"seqzoo.evaluation.metrics:{function}")

    zoo.protocol(
        "loo-full",
        description="leave-one-out, all items are candidates, the history's own included",
        remove_seen=False,
    )
    zoo.protocol(
        "loo-full-unseen",
        description="leave-one-out, all items but those of the user's whole history",
        remove_seen=True,
    )
    zoo.protocol(
        "loo-recbole",
        description="leave-one-out, all items are candidates, times rounded to float32, 5-core: "
        "what RecBole measures",
        remove_seen=False,
        order="float32-time-row",
        min_count=5,
    )

    # The verbs stand here so that no plugin can take their names; `seqzoo.cli.app` wires them up.
    for verb, target in (
        ("list", "list_models:list_models"),
        ("info", "info:info"),
        ("recommend", "recommend:recommend"),
        ("eval", "evaluate:evaluate"),
        ("compare", "compare:compare"),
        ("train", "train:train"),
        ("import", "import_weights:import_weights"),
        ("push", "push:push"),
        ("pull", "pull:pull"),
        ("verify", "verify:verify"),
        ("plugins", "plugins:plugins"),
        ("new-plugin", "new_plugin:new_plugin"),
        ("check", "check:check"),
        ("doctor", "doctor:doctor"),
    ):
        zoo.command(verb, f"seqzoo.cli.{target}")

    for fields in DATASETS:
        zoo.dataset(**fields)
    zoo.dataset(
        "synthetic",
        target="seqzoo.data.synthetic:synthetic_from_options",
        description="generated with a seed, any size",
    )
