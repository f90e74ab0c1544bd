"""``SequenceModel``: a model that can be built, loaded, saved and published."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

import torch

from seqzoo.checkpoint.find import open_checkpoint
from seqzoo.checkpoint.hub.address import repository_address
from seqzoo.checkpoint.record import Checkpoint
from seqzoo.data.item_table import ItemTable
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.model.build import build_parts
from seqzoo.model.display import model_html
from seqzoo.model.extend import extended_features, extended_vocabulary, with_items
from seqzoo.model.histories import History
from seqzoo.model.load import load_model
from seqzoo.model.provenance import AsBuilt, Provenance
from seqzoo.model.recommendations import Recommendations
from seqzoo.model.recommending import RecommendingModel
from seqzoo.model.save import checkpoint_of, save_model
from seqzoo.model.session import Session
from seqzoo.model.sessions import Sessions
from seqzoo.model.stored_sessions import StoredSessions, check_store
from seqzoo.model.stream import UserT, recommend_stream

if TYPE_CHECKING:
    from typing_extensions import Self

    from seqzoo.data.readers.memory import InMemory

__all__ = [
    "SequenceModel",
]


class SequenceModel(RecommendingModel):
    """A sequence model that takes histories of item ids and returns item ids.

    ``build`` makes one with random weights, ``from_pretrained`` loads one.

    Attributes:
        architecture: registered name.
        config: resolved settings, flat.
        vocabulary: the items it knows, in index order.
        embedder, backbone, head: the three parts.
        objective: what it is trained on, and how it reads a history.
        recipe: its training recipe, as in ``recipe.yaml``; empty for fresh weights.
        metrics: stored metrics by protocol, as in ``metrics.json``; empty for fresh weights.
        as_built: the model that loading its checkpoint would build.
        provenance: the weights that recipe and metrics belong to; None for fresh weights.
    """

    recipe: dict[str, Any]
    metrics: dict[str, Any]
    as_built: AsBuilt
    provenance: Provenance | None

    @classmethod
    def build(
        cls,
        architecture: str,
        settings: Mapping[str, Any],
        vocabulary: Vocabulary,
        item_features: ItemTable | None = None,
    ) -> "Self":
        """Build a model with random weights from torch's global generator.

        Args:
            architecture: registered name.
            settings: settings that differ from the architecture's defaults.
            vocabulary: the items.
            item_features: their features in index order, for an embedder that reads them.

        Raises:
            UnknownNameError: no architecture has the name.
            ConfigError: a setting is unknown or has the wrong type, or the objective needs what
                another part lacks.
            UsageError: the embedder needs item features and there are none, or it reads none.
            PluginError: a part cannot be imported.
        """
        parts = build_parts(architecture, settings, vocabulary, item_features)
        model = cls(architecture, parts, vocabulary)
        model.objective.check(model)
        model.recipe, model.metrics, model.provenance = {}, {}, None
        model.as_built = AsBuilt.of(model)
        return model

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, device: str | torch.device = "cpu") -> "Self":
        """Build the model of a checkpoint that has been read, in evaluation mode.

        Raises:
            CheckpointError: its plugin is missing or differs from the one that saved it, or its
                files do not belong together.
            UsageError: there is no such device.
        """
        return load_model(cls, checkpoint, device)

    @classmethod
    def from_pretrained(
        cls, name: str | PathLike[str], device: str | torch.device = "cpu"
    ) -> "Self":
        """Load a trained model, as ``seqzoo.load`` does."""
        return cls.from_checkpoint(open_checkpoint(name), device)

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write a checkpoint folder, with the recipe and the metrics that belong to the weights.

        Raises:
            CheckpointError: as ``seqzoo.model.save.save_model`` does.
        """
        save_model(folder, self)

    def push_to_hub(self, repo: str, *, private: bool | None = None) -> str:
        """Publish the model as ``org/name``, as ``seqzoo.push`` does; the commit's address."""
        from seqzoo.checkpoint.hub.push import push_checkpoint  # the Hub's client is slow to import

        address = repository_address(repo)
        checkpoint = checkpoint_of(self, address.name)
        return str(push_checkpoint(checkpoint, address, private=private).address)

    def extend(
        self,
        items: Sequence[str],
        features: "InMemory | str | PathLike[str] | None" = None,
        *,
        labels: Sequence[str | None] | None = None,
        seed: int = 0,
    ) -> None:
        """Add items, which get the indices after the known ones.

        The vectors of the known items do not change. An embedder that reads item features computes
        a new item's vector from them. Otherwise it is drawn from a normal distribution with the
        mean and the spread of the trained items' vectors; training on newer data (``seqzoo train
        CHECKPOINT``) gives it its own. Optimizers that were made for the model before must be made
        again.

        Args:
            items: ids of the new items.
            features: a table with the item ids and the columns that the model reads, for a model
                with item features: a file, or a table in memory.
            labels: their titles; also their features, for a model that reads only titles.
            seed: the seed of the drawn vectors.

        Raises:
            UsageError: an id is known already, the numbers of items and labels differ, or features
                are given to a model that reads none.
            DataError: an id is empty or given twice, or the features cannot be read.
        """
        vocabulary = extended_vocabulary(self.vocabulary, items, labels)
        table = extended_features(self, vocabulary, features)
        bigger = with_items(self, vocabulary, item_features=table, seed=seed)
        self.embedder, self.backbone, self.head = bigger.embedder, bigger.backbone, bigger.head
        self.objective = bigger.objective
        self.vocabulary, self.as_built = vocabulary, bigger.as_built
        self.item_features, self.index = table, None

    def _repr_html_(self) -> str:
        return model_html(self)

    def recommend_stream(
        self,
        users: Iterable[tuple[UserT, History] | tuple[UserT, History, Sequence[int]]],
        k: int = 10,
        *,
        batch_size: int = 256,
        **options: Any,
    ) -> Iterator[tuple[UserT, Recommendations]]:
        """The ``k`` best items for users that come one after another, in bounded memory.

        Args:
            users: pairs of a user and a history, or triples with the timestamps of its events; a
                generator may be endless.
            k: number of items, 1 to the size of the catalogue.
            batch_size: maximum number of histories per batch.
            options: ``exclude_seen``, ``candidates``, ``exclude``, ``on_unknown`` and ``on_cold``,
                as for ``recommend_many``; candidates and exclusions are for everyone.

        Yields:
            Each user with the recommendations, in the order of the users.

        Raises:
            SeqzooError: as ``recommend_many`` does.
        """
        return recommend_stream(self, users, k, batch_size, options)

    def session(
        self, saved: str | PathLike[str] | None = None, *, user: str | None = None
    ) -> Session:
        """Start or continue a session of one user, one event at a time.

        Args:
            saved: folder of a saved session to continue; None for a new session.
            user: the user's id, for models that read it.

        Raises:
            UsageError: the folder holds no session of this model.
        """
        return Session(self, user) if saved is None else Session.restore(self, saved)

    @overload
    def sessions(self, store: None = None) -> Sessions: ...

    @overload
    def sessions(self, store: str | PathLike[str], **options: Any) -> StoredSessions: ...

    def sessions(
        self, store: str | PathLike[str] | None = None, **options: Any
    ) -> Sessions | StoredSessions:
        """Start or continue sessions of many users, whose events are computed together.

        Args:
            store: SQLite file that keeps them; None to hold them in memory only.
            options: the options of the store, see ``StoredSessions``.

        Raises:
            UsageError: there are options without a store, or a store for a model that reads the
                features of events or users.
            StoreError: the file is not a store of sessions, or cannot be used.
        """
        check_store(store, options)
        return Sessions(self) if store is None else StoredSessions(self, store, **options)
