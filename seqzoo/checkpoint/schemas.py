"""Schemas of untrusted documents, which ``storage.documents`` checks.

They cover the files of a checkpoint, of a session and of a training run, and the metadata of a
card. The schemas of the Hub's responses, of ``pins.json``, of prepared data, of item features, of
an export, of a tuning, of the log of a job and of the header of safetensors are next to their
readers.
Error messages quote a description as the expected value. Unknown keys are refused in documents that
only seqzoo writes, and ignored in others.
"""

from typing import Annotated, Any, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

from seqzoo.checkpoint.hub.address import COMMIT, REPOSITORY
from seqzoo.storage.fields import (
    Closed,
    Count,
    FileEntry,
    Id,
    Number,
    Positive,
    Settings,
    Sha256,
    Text,
)

__all__ = [
    "AnyState",
    "CardFrontMatter",
    "CardMetadata",
    "Commit",
    "ConfigFile",
    "ConfigHead",
    "FileEntries",
    "GivenRecipe",
    "MeasuredData",
    "MeasuredSample",
    "MeasuredSplit",
    "MetricValues",
    "MetricsFile",
    "Name",
    "PackedStates",
    "Parts",
    "PluginEntry",
    "ProgressFile",
    "ProtocolEntry",
    "RecipeData",
    "RecipeFile",
    "RecipeSections",
    "RecipeStart",
    "Repository",
    "SessionFile",
    "SessionModel",
    "SessionState",
    "SessionStates",
    "StatesByPart",
    "StoredRecipe",
    "VocabularyFile",
]

# They appear in commands that error messages advise, so only plain names are accepted.
Name: TypeAlias = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9._+!-]{0,99}\Z", description="a name")
]
Repository: TypeAlias = Annotated[str, Meta(pattern=rf"\A{REPOSITORY}\Z", description="org/name")]
Commit: TypeAlias = Annotated[
    str, Meta(pattern=rf"\A{COMMIT}\Z", description="a commit of 40 hex digits")
]


class ConfigHead(Struct):
    """The keys of ``config.json`` in every format version."""

    format_version: Positive
    sha256: Sha256


class FileEntries(
    Closed,
    rename={
        "weights": "model.safetensors",
        "vocabulary": "vocabulary.json",
        "recipe": "recipe.yaml",
        "metrics": "metrics.json",
        "item_features": "item_features.safetensors",
    },
):
    """The files that ``config.json`` records."""

    weights: FileEntry
    vocabulary: FileEntry
    recipe: FileEntry
    metrics: FileEntry
    item_features: FileEntry | UnsetType = UNSET


class Parts(Closed):
    """Registered names of the parts of a model."""

    embedder: Name
    backbone: Name
    head: Name
    objective: Name | UnsetType = UNSET


class PluginEntry(Closed):
    """The plugin that a checkpoint was made with."""

    name: Name
    distribution: Name
    version: Name


class ConfigFile(ConfigHead, forbid_unknown_fields=True):
    """``config.json``."""

    architecture: Name
    parts: Parts
    plugin: PluginEntry
    config: Settings
    files: FileEntries
    created_with: dict[Name, Name]


class VocabularyFile(Closed):
    """``vocabulary.json``."""

    items: Annotated[list[Id], Meta(min_length=1, description="a list of item ids, at least one")]
    labels: Annotated[
        list[Annotated[str | None, Meta(description="a string or null")]] | None,
        Meta(description="a list of strings or nulls"),
    ] = None
    counts: Annotated[
        list[Count] | None, Meta(description="a list of whole numbers, 0 or more")
    ] = None
    features: Annotated[
        dict[str, Annotated[list[Text] | None, Meta(description="a list of strings or null")]]
        | UnsetType,
        Meta(description="values by the name of a feature"),
    ] = UNSET


class _Recipe(Struct):
    """The sections of a recipe; registered config classes check the settings in them."""

    architecture: Annotated[str, Meta(description="the name of an architecture")] = ""
    model: Settings = {}
    train: Settings = {}
    chosen: Annotated[
        dict[str, Settings], Meta(description="data-dependent settings: value and reason of each")
    ] = {}
    seqzoo: Any = None


class RecipeSections(_Recipe, forbid_unknown_fields=True):
    """A recipe to run; its data may be a table in memory."""

    data: Settings = {}
    start: Any = None


GivenRecipe: TypeAlias = Annotated[
    RecipeSections,
    Meta(description="sections by name: architecture, start, data, model and train"),
]
"""A recipe, as the command line and ``seqzoo.train`` take it."""


class RecipeData(Struct):
    """The data of a recipe."""

    source: Annotated[str | None, Meta(description="a string")] = None


class RecipeStart(Struct):
    """The checkpoint that a run started from."""

    source: Text
    sha256: Annotated[Sha256 | None, Meta(description="64 hex digits")] = None


class StoredRecipe(_Recipe):
    """The recipe of a checkpoint, in which programs may store more than seqzoo reads."""

    data: Annotated[RecipeData, Meta(description="settings by name")] = field(
        default_factory=RecipeData
    )
    start: Annotated[
        RecipeStart | str | None,
        Meta(description="the checkpoint that training started from"),
    ] = None


RecipeFile: TypeAlias = Annotated[StoredRecipe, Meta(description="settings by name")]
"""``recipe.yaml``."""


class MeasuredData(Struct):
    """The data that metrics were measured on."""

    name: Text = ""
    fingerprint: Text = ""
    fingerprints: Annotated[dict[str, Text], Meta(description="an object of strings")] = {}


MetricValues: TypeAlias = Annotated[
    dict[
        Annotated[
            str,
            Meta(
                # ASCII digits only: int() accepts some other digits and not others.
                pattern=r"\A[^@]*(@([0-9]{1,9}|[A-Za-z].*)?)?\Z",
                description="a metric's name, with 1 to 9 digits as its cutoff",
            ),
        ],
        Number,
    ],
    Meta(description="an object of metrics by name"),
]


class MeasuredSplit(Struct):
    """How the data of metrics were split, and what that held out."""

    name: Text
    settings: Settings = {}
    targets: Count = 0
    users: Count = 0
    left_out: Count = 0
    new_users: Count = 0
    begins: Annotated[int | None, Meta(description="unix seconds as a whole number")] = None


class MeasuredSample(Struct):
    """The held-out items that baselines were measured on, if not all, and the model's metrics."""

    targets: Positive
    of: Positive
    metrics: MetricValues


class ProtocolEntry(Struct):
    """The metrics of one protocol and the circumstances of their measurement."""

    metrics: MetricValues
    baselines: Annotated[
        dict[Text, MetricValues], Meta(description="an object of baselines with their metrics")
    ] = {}
    baselines_sample: Annotated[
        MeasuredSample | UnsetType,
        Meta(description="an object of the test items that baselines were measured on"),
    ] = UNSET
    users: Count = 0
    items: Count = 0
    data: Annotated[MeasuredData, Meta(description="an object with the name of the data")] = field(
        default_factory=MeasuredData
    )
    split: Annotated[
        MeasuredSplit | UnsetType, Meta(description="an object with the name of the split")
    ] = UNSET
    versions: Annotated[dict[str, Text], Meta(description="an object of strings")] = {}


MetricsFile: TypeAlias = Annotated[
    dict[
        str, Annotated[ProtocolEntry, Meta(description="an object with the metrics of a protocol")]
    ],
    Meta(description="an object of protocols"),
]
"""``metrics.json``."""


class SessionState(Closed, rename={"mapping": "dict", "sequence": "tuple", "elements": "list"}):
    """A value in the state of a session: an object with exactly one key, the kind of the value."""

    tensor: Annotated[str, Meta(description="the name of a tensor")] | UnsetType = UNSET
    mapping: Annotated[dict[str, "AnyState"], Meta(description="an object")] | UnsetType = UNSET
    sequence: Annotated[list["AnyState"], Meta(description="a list")] | UnsetType = UNSET
    elements: Annotated[list["AnyState"], Meta(description="a list")] | UnsetType = UNSET
    value: (
        Annotated[
            bool | int | float | str | None,
            Meta(description="a number, a string, a boolean or null"),
        ]
        | UnsetType
    ) = UNSET

    def __post_init__(self) -> None:
        if sum(getattr(self, name) is not UNSET for name in self.__struct_fields__) != 1:
            raise ValueError("exactly one key")


AnyState: TypeAlias = Annotated[
    SessionState,
    Meta(description="an object with one key: 'tensor', 'dict', 'tuple', 'list' or 'value'"),
]


class SessionStates(Closed):
    """The state of the parts of a model, and the user's vector."""

    mapping: "StatesByPart" = field(name="dict")


class StatesByPart(Closed):
    """The states by the names of the parts."""

    embedder: AnyState
    backbone: AnyState
    hidden: AnyState


class SessionModel(Closed):
    """The model that a session was saved with."""

    name: Text
    config: Sha256
    vocabulary: Sha256
    weights: Sha256


class SessionFile(Closed):
    """``session.json``: the events of a user, and the state of a model after them."""

    model: SessionModel
    items: list[Text]
    timestamps: list[Annotated[int, Meta(description="unix seconds as a whole number")]]
    state: Annotated[SessionStates, Meta(description="an object of states")]
    tensors: Sha256
    sha256: Sha256
    user: Annotated[str | None, Meta(description="a string")] = None
    features: Annotated[
        dict[str, Annotated[list[str | int | float | None], Meta(description="a list of values")]],
        Meta(description="values by the name of a feature"),
    ] = field(default_factory=dict)


class PackedStates(Closed):
    """The state of a model after the events of one user, in a store of sessions."""

    state: Annotated[SessionStates, Meta(description="an object of states")]
    tensors: Sha256


class ProgressFile(Closed):
    """``training/progress.json``: the state of a run between two epochs."""

    recipe: Settings
    fingerprint: Text = ""
    epoch: Count = 0
    best_epoch: Count = 0
    best_value: Number = -1.0
    threads: Count = 0
    finished: Annotated[bool, Meta(description="true or false")] = False
    seconds: Number = 0.0
    epochs: Annotated[list[Settings], Meta(description="a list of records")] = field(
        default_factory=list
    )


class CardMetadata(Struct):
    """The front matter of a model card, as far as seqzoo reads it; people may write more."""

    tags: Annotated[list[Text] | Text | None, Meta(description="a list of strings")] = None
    license: Annotated[
        str | list[str] | None, Meta(description="the name of a licence, for example 'apache-2.0'")
    ] = None
    license_name: Annotated[str | None, Meta(description="a string")] = None
    license_link: Annotated[str | None, Meta(description="an address")] = None
    datasets: Annotated[list[Text] | Text | None, Meta(description="a list of strings")] = None
    base_model: Annotated[list[Text] | Text | None, Meta(description="a list of strings")] = None


CardFrontMatter: TypeAlias = Annotated[CardMetadata, Meta(description="keys and values")]
