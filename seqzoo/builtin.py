"""Everything that the core provides, registered through the hook that every plugin uses."""

from seqzoo.builtin_datasets import DATASETS
from seqzoo.hookspecs import hookimpl
from seqzoo.registry import Registrar

_CONFIG = "seqzoo.parts.config"

# Name, target in seqzoo.cli, help line and end of the verb's own help, in the order of `--help`.
# The help line is the first line of the function's docstring.
_VERBS = (
    (
        "list",
        "list_models:list_models",
        "List architectures and trained checkpoints.",
        "Example:  seqzoo list '*ml1m*' --pretrained",
    ),
    (
        "info",
        "info:info",
        "Show a model summary.",
        "Example:  seqzoo info mamba4rec-ml1m",
    ),
    (
        "recommend",
        "recommend:recommend",
        "Recommend the next items after a history.",
        "Example:  seqzoo recommend mamba4rec-ml1m --history 1 260 1196 -k 5",
    ),
    (
        "similar",
        "similar:similar",
        "Show the items most similar to an item.",
        "Example:  seqzoo similar mamba4rec-ml1m 260 -k 5",
    ),
    (
        "eval",
        "evaluate:evaluate",
        "Measure a checkpoint and compare with its stored metrics.",
        "Example:  seqzoo eval mamba4rec-ml1m --data ml-1m --protocol loo-full-unseen",
    ),
    (
        "compare",
        "compare:compare",
        "Measure several checkpoints on the same users.",
        "Example:  seqzoo compare mamba4rec-ml1m sasrec-ml1m --plot quality.png",
    ),
    (
        "train",
        "train:train",
        "Train a model; the folder of the run is a checkpoint.",
        "\b\nExamples:\n"
        "seqzoo train mamba4rec --data shop.csv --out runs/shop model.num_layers=2\n"
        "seqzoo train runs/shop/recipe.yaml --out runs/again train.lr=5e-4",
    ),
    (
        "import",
        "import_weights:import_weights",
        "Make a checkpoint from the weights of another implementation.",
        "\b\nExample:\n"
        "seqzoo import SASRec.pth --architecture sasrec --vocabulary items.txt --out a\n"
        "The vocabulary has the item ids in index order, one on each line.",
    ),
    (
        "push",
        "push:push",
        "Publish a checkpoint on the Hub.",
        "Example:  seqzoo push runs/shop my-org/mamba4rec-shop --tag v1",
    ),
    (
        "pull",
        "pull:pull",
        "Download a checkpoint from the Hub and check every file.",
        "Example:  seqzoo pull hf://my-org/mamba4rec-shop@v1 --to models/shop",
    ),
    (
        "verify",
        "verify:verify",
        "Check the files, the weights and the metrics of a checkpoint.",
        "Example:  seqzoo verify mamba4rec-ml1m --eval --data ml-1m",
    ),
    (
        "plugins",
        "plugins:plugins",
        "List plugins, what they provide, and why any are broken.",
        "Example:  seqzoo plugins --traceback linrec",
    ),
    (
        "new-plugin",
        "new_plugin:new_plugin",
        "Write a new plugin that installs and passes its own tests.",
        "Example:  seqzoo new-plugin linrec && pip install ./seqzoo-linrec",
    ),
    (
        "check",
        "check:check",
        "Run the conformance checks on anything registered.",
        "Example:  seqzoo check linrec model.hidden_size=32",
    ),
    (
        "doctor",
        "doctor:doctor",
        "Show versions, devices and the compute backends that work.",
        "Example:  seqzoo doctor --json",
    ),
)


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

    for name in ("hit", "ndcg", "mrr"):
        zoo.metric(name, f"seqzoo.evaluation.metrics:{name}")

    zoo.protocol(
        "loo-full",
        description="leave-one-out; all items are candidates, including those of the history",
        remove_seen=False,
    )
    zoo.protocol(
        "loo-full-unseen",
        description="leave-one-out; all items except those of the whole history are candidates",
        remove_seen=True,
    )
    zoo.protocol(
        "loo-recbole",
        description="leave-one-out; all items are candidates; timestamps rounded to float32; "
        "5-core, as in RecBole",
        remove_seen=False,
        order="float32-time-row",
        min_count=5,
    )

    for verb, target, line, epilog in _VERBS:
        zoo.command(
            verb,
            f"seqzoo.cli.{target}",
            help=line,
            epilog=epilog,
            several_values=verb == "recommend",
        )

    for fields in DATASETS:
        zoo.dataset(**fields)
    zoo.dataset(
        "synthetic",
        target="seqzoo.data.synthetic:synthetic_from_options",
        description="generated with a seed, any size",
    )
