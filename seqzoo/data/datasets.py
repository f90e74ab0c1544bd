"""Load interactions by name or path: from a data folder, the cache or the publisher."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from seqzoo.data.checksums import record_of
from seqzoo.data.download import download
from seqzoo.data.interactions import Interactions, k_core
from seqzoo.data.readers import read_interactions
from seqzoo.data.readers.memory import IN_MEMORY, InMemory
from seqzoo.data.readers.read import SUFFIXES
from seqzoo.errors import DataError, DownloadError, UnknownNameError, UsageError, nearest
from seqzoo.specs import DatasetSpec, resolve
from seqzoo.validation import looks_like_path

__all__ = ["cache_folder", "load_interactions", "source_name"]


def cache_folder() -> Path:
    """The folder for downloads: ``SEQZOO_CACHE``, or ``~/.cache/seqzoo``."""
    given = os.environ.get("SEQZOO_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "seqzoo"


def load_interactions(
    source: str | Path | Interactions | InMemory,
    *,
    specs: Iterable[DatasetSpec] | Mapping[str, DatasetSpec],
    user_col: str | None = None,
    item_col: str | None = None,
    time_col: str | None = None,
    label_col: str | None = None,
    features: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
    progress: bool = True,
) -> Interactions:
    """Load a data set by its registered name, or interactions from a path or from memory.

    A registered data set is read from the folder ``SEQZOO_DATA``, else from the cache, else it is
    downloaded. Any other string is a path if it has a separator or the ending of a table, or if
    it exists; write ``./ml-1m`` for a folder with the name of a data set.

    Args:
        source: the name, the path, or a table in memory (see
            :mod:`seqzoo.data.readers.memory`). Interactions are returned as they are.
        specs: the registered data sets, as a registry or by name.
        user_col: the column of users, see :func:`seqzoo.data.readers.read_interactions`. Generated
            data ignore this and the other columns.
        item_col: the column of items.
        time_col: the column of timestamps; empty for the order of the rows.
        label_col: the column of titles.
        features: further columns that a model reads.
        options: settings of a generated data set.
        progress: show a progress bar while downloading, if stderr is a terminal.

    Raises:
        UnknownNameError: the source is neither a registered name nor a path.
        UsageError: the source has another type, or options are given for data that are not
            generated.
        PluginError: the generator of a data set cannot be imported.
        DataError: the file or the table cannot be read.
        DownloadError: the file cannot be downloaded, or is not what the registry expects.
    """
    columns: dict[str, Any] = {
        "user_col": user_col,
        "item_col": item_col,
        "time_col": time_col,
        "label_col": label_col,
        "features": features,
    }
    known = specs if isinstance(specs, Mapping) else {spec.name: spec for spec in specs}
    spec = known.get(source) if isinstance(source, str) else None
    if spec is not None and spec.target is not None:
        generated: Interactions = resolve(spec.target, spec.plugin)(dict(options or {}))
        return generated
    if options:
        raise UsageError(
            f"{source_name(source)} takes no options ({', '.join(options)}): "
            "only generated data sets do"
        )
    if isinstance(source, Interactions):
        return source
    if spec is not None:
        given = os.environ.get("SEQZOO_DATA")
        if given and (local := Path(given).expanduser() / spec.name).is_dir():
            return read_interactions(local, name=spec.name, **columns)
        return _from_publisher(spec, columns, progress)
    if not isinstance(source, str):
        return read_interactions(source, **columns)
    if source == IN_MEMORY:
        raise DataError(
            "these data were a table in memory, which a recipe cannot name; give the table again "
            "(data=…) or a file (--data FILE)"
        )
    # Unlike a model, data may also be named by a file or folder without a separator: `shop.csv`.
    is_file = source.lower().endswith(SUFFIXES) or os.path.exists(source)
    if is_file or looks_like_path(source):
        return read_interactions(source, **columns)
    raise UnknownNameError(
        f"the data set '{source}' is unknown (known: {', '.join(sorted(known))}), and there is no "
        f"such file or folder{nearest(source, known)}; choose a name or give a path"
    )


def source_name(source: str | Path | Interactions | InMemory) -> str:
    """The source of data as a recipe stores it: a name, a path, or ``a table in memory``."""
    return str(source) if isinstance(source, str | Path) else IN_MEMORY


def _from_publisher(spec: DatasetSpec, columns: Mapping[str, Any], progress: bool) -> Interactions:
    if spec.url is None:
        raise UsageError(
            f"the data set '{spec.name}' has no address to download it from; give a path to it"
        )
    file = Path(urlsplit(spec.url).path).name
    destination = cache_folder() / "datasets" / spec.name / file
    is_new = not destination.exists()
    if is_new:
        sys.stderr.write(
            f"{spec.name}: downloading {spec.url}\nlicence: {spec.licence}\ncite: {spec.citation}\n"
        )
        sys.stderr.flush()
    download(
        spec.url,
        destination,
        size=spec.size,
        md5=spec.md5,
        sha256=spec.sha256,
        progress=progress,
    )
    if not is_new or spec.md5 is not None or spec.sha256 is not None:
        return read_interactions(destination, name=spec.name, **columns)
    # Without a published checksum, that of the download is recorded only if it can be read.
    try:
        interactions = read_interactions(destination, name=spec.name)
        if spec.counts is not None:
            core = k_core(interactions, 5, report=False)
            found = (core.num_users, core.num_items, len(core))
            if found != spec.counts:
                raise DownloadError(
                    "{:,} users, {:,} items and {:,} interactions after the 5-core filter, "
                    "expected {:,}, {:,} and {:,}".format(*found, *spec.counts)
                )
    except (DataError, DownloadError) as error:
        destination.unlink(missing_ok=True)
        record_of(destination).unlink(missing_ok=True)
        raise DownloadError(
            f"{spec.url} is not the data set '{spec.name}' ({error}); the file was removed. Either "
            "the publisher changed it, or a proxy or login page answered instead"
        ) from error
    if any(column is not None for column in columns.values()):
        return read_interactions(destination, name=spec.name, **columns)
    return interactions
