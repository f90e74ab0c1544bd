"""Everything that the core provides, registered through the hook that every plugin uses."""

from typing import Any

from seqzoo.builtin_datasets import DATASETS
from seqzoo.hookspecs import hookimpl
from seqzoo.registrar import Registrar

__all__ = ["seqzoo_register"]

_CONFIG = "seqzoo.parts.config"

# The arguments of `Registrar.command`, in the order of `seqzoo --help`. The help line is the first
# line of the function's docstring.
_VERBS: tuple[dict[str, Any], ...] = (
    {
        "name": "list",
        "target": "seqzoo.cli.list_models:list_models",
        "help": "List architectures and trained checkpoints.",
        "epilog": "Example:  seqzoo list '*ml1m*' --pretrained",
    },
    {
        "name": "info",
        "target": "seqzoo.cli.info:info",
        "help": "Show a model summary.",
        "epilog": "Example:  seqzoo info mamba4rec-ml1m",
    },
    {
        "name": "recommend",
        "target": "seqzoo.cli.recommend:recommend",
        "help": "Recommend items for a history, or for all users of a file.",
        "epilog": (
            "\b\nExamples:\n"
            "seqzoo recommend mamba4rec-ml1m --history 1 260 1196 -k 5\n"
            "seqzoo recommend runs/shop --histories users.parquet --out recs.parquet -k 20"
        ),
        "several_values": True,
    },
    {
        "name": "similar",
        "target": "seqzoo.cli.similar:similar",
        "help": "Show the items most similar to an item.",
        "epilog": "Example:  seqzoo similar mamba4rec-ml1m 260 -k 5",
    },
    {
        "name": "serve",
        "target": "seqzoo.cli.serve:serve",
        "help": "Serve models over HTTP, with user sessions.",
        "epilog": "Example:  seqzoo serve runs/shop --port 8000 --store sessions.db",
    },
    {
        "name": "export",
        "target": "seqzoo.cli.export:export",
        "help": "Write a model as ONNX files with a runner that needs no torch.",
        "epilog": "Example:  seqzoo export runs/shop --out deployed",
    },
    {
        "name": "eval",
        "target": "seqzoo.cli.evaluate:evaluate",
        "help": "Measure a checkpoint and compare with its stored metrics.",
        "epilog": "Example:  seqzoo eval mamba4rec-ml1m --data ml-1m --protocol loo-full-unseen",
    },
    {
        "name": "compare",
        "target": "seqzoo.cli.compare:compare",
        "help": "Measure checkpoints and baselines on the same users.",
        "epilog": "Example:  seqzoo compare mamba4rec-ml1m sasrec-ml1m --plot quality.png",
    },
    {
        "name": "train",
        "target": "seqzoo.cli.train:train",
        "help": "Train a model; the folder of the run is a checkpoint.",
        "epilog": (
            "\b\nExamples:\n"
            "seqzoo train mamba4rec --data shop.csv --out runs/shop model.num_layers=2\n"
            "seqzoo train runs/shop/recipe.yaml --out runs/again train.lr=5e-4\n"
            "seqzoo train runs/shop --data newer.csv --out runs/newer"
        ),
    },
    {
        "name": "tune",
        "target": "seqzoo.cli.tune:tune",
        "help": "Search hyperparameters and keep the best model.",
        "epilog": (
            "\b\nExamples:\n"
            "seqzoo tune mamba4rec --data shop.csv --trials 30 --out runs/tuned\n"
            "seqzoo tune sasrec --data shop.csv --search train.lr=1e-4..1e-2"
        ),
    },
    {
        "name": "data",
        "target": "seqzoo.cli.data:app",
        "help": "Describe interactions, and prepare them once for many runs.",
    },
    {
        "name": "import",
        "target": "seqzoo.cli.import_weights:import_weights",
        "help": "Make a checkpoint from the weights of another implementation.",
        "epilog": (
            "\b\nExample:\n"
            "seqzoo import SASRec.pth --architecture sasrec --vocabulary items.txt --out a\n"
            "The vocabulary has the item ids in index order, one on each line."
        ),
    },
    {
        "name": "push",
        "target": "seqzoo.cli.push:push",
        "help": "Publish a checkpoint on the Hugging Face Hub.",
        "epilog": "Example:  seqzoo push runs/shop my-org/mamba4rec-shop --tag v1",
    },
    {
        "name": "pull",
        "target": "seqzoo.cli.pull:pull",
        "help": "Download a checkpoint from the Hugging Face Hub and check it.",
        "epilog": "Example:  seqzoo pull hf://my-org/mamba4rec-shop@v1 --to models/shop",
    },
    {
        "name": "verify",
        "target": "seqzoo.cli.verify:verify",
        "help": "Check the files, the weights and the metrics of a checkpoint.",
        "epilog": "Example:  seqzoo verify mamba4rec-ml1m --eval --data ml-1m",
    },
    {
        "name": "plugins",
        "target": "seqzoo.cli.plugins:plugins",
        "help": "List plugins, what they provide, and why any are broken.",
        "epilog": "Example:  seqzoo plugins --traceback linrec",
    },
    {
        "name": "new-plugin",
        "target": "seqzoo.cli.new_plugin:new_plugin",
        "help": "Write a new plugin that installs and passes its own tests.",
        "epilog": "Example:  seqzoo new-plugin linrec && pip install ./seqzoo-linrec",
    },
    {
        "name": "check",
        "target": "seqzoo.cli.check:check",
        "help": "Run the conformance checks on a registered component.",
        "epilog": "Example:  seqzoo check linrec model.hidden_size=32",
    },
    {
        "name": "doctor",
        "target": "seqzoo.cli.doctor:doctor",
        "help": "Show versions, devices and the compute backends that work.",
        "epilog": "Example:  seqzoo doctor --json",
    },
)


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register everything that the core provides, from parts to verbs."""
    for name, kind in (
        ("item", "Item"),
        ("item-position", "ItemPosition"),
        ("item-ordered-position", "ItemOrderedPosition"),
    ):
        target = f"seqzoo.parts.embedders:{kind}Embedder"
        zoo.embedder(name, target, config=f"{_CONFIG}:{kind}EmbedderConfig")

    for name, embedder, config in (
        ("item-features", "ItemFeaturesEmbedder", "ItemFeaturesConfig"),
        ("item-features-position", "ItemFeaturesPositionEmbedder", "ItemFeaturesPositionConfig"),
    ):
        target = f"seqzoo.parts.item_features:{embedder}"
        zoo.embedder(name, target, config=f"{_CONFIG}:{config}")

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

    zoo.split(
        "leave-one-out",
        "seqzoo.data.splits:LeaveOneOut",
        description="the last event of each user for testing, the one before for validation",
    )
    zoo.split(
        "time",
        "seqzoo.data.time_split:TimeSplit",
        description="the events after a moment for testing: one cut for all users",
    )
    for name, objective, config in (
        ("next-item", "rows:NextItem", "NextItemConfig"),
        ("next-item-last", "rows:NextItemLast", "NextItemConfig"),
        ("masked-item", "masked:MaskedItem", "MaskedItemConfig"),
        ("cl4srec", "cl4srec:Cl4SRec", "Cl4SRecConfig"),
    ):
        zoo.objective(name, f"seqzoo.objectives.{objective}", config=f"{_CONFIG}:{config}")

    for name in ("hit", "ndcg", "mrr"):
        zoo.metric(name, f"seqzoo.evaluation.metrics:{name}")
    for name in ("coverage", "novelty", "diversity", "arp", "gini"):
        zoo.metric(name, f"seqzoo.evaluation.list_metrics:{name}", of="lists")

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

    zoo.protocol(
        "time-full",
        description="one cut in time for all users; all items are candidates, including those of "
        "the history",
        split="time",
        remove_seen=False,
    )
    zoo.protocol(
        "time-full-unseen",
        description="one cut in time for all users; all items except those of the whole history "
        "are candidates",
        split="time",
        remove_seen=True,
    )

    for verb in _VERBS:
        zoo.command(**verb)

    for fields in DATASETS:
        zoo.dataset(**fields)
    zoo.dataset(
        "synthetic",
        target="seqzoo.data.synthetic:synthetic_from_options",
        description="generated with a seed, any size",
    )
