"""Readers of data files: what users and publishers have."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from random import Random

import polars as pl

from seqzoo.data.build import build_sequences
from seqzoo.data.interactions import k_core
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.data.prepared import PreparedFolder, write_prepared
from seqzoo.data.readers import read_interactions
from seqzoo.storage.integrity import sha256_of_bytes, sha256_of_document
from tests.reliability import mutations
from tests.reliability.readers import reader
from tests.reliability.readers_checkpoint import any_json

ROWS = [
    ("u1", "a", 5, 978300019), ("u1", "b", 3, 978300020), ("u1", "c", 4, 978300021),
    ("u2", "b", 1, 978300019), ("u2", "a", 2, 978300055), ("u3", "ä", 3, 978302268),
    ("u3", "b", 5, 978302268), ("u4", "c", 4, 978300275), ("u4", "007", 4, 978300276),
]  # fmt: skip


def lines(separator: str, head: str = "") -> bytes:
    """The rows as text."""
    rows = [separator.join(map(str, row)) for row in ROWS]
    return "\n".join([head, *rows] if head else rows).encode() + b"\n"


HEAD = "user_id,item_id,rating,timestamp"
CSV = lines(",", HEAD)
DAT = lines("::")
MOVIES = "a::Tïtle A (1995)::Drama\nb::B::Comedy\nc::C::Action\n".encode()


class DataFile:
    """One file at a path, with valid files next to it."""

    name = ""
    beside: tuple[tuple[str, bytes], ...] = ()
    seeds: Sequence[bytes] = ()
    target = ""
    """The path that is read, if it is another one than that of the file."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "data"
        self.folder.mkdir()
        for name, content in self.beside:
            (self.folder / name).write_bytes(content)

    def read(self, content: bytes) -> object:
        (self.folder / self.name).write_bytes(content)
        interactions = read_interactions(self.folder / (self.target or self.name))
        build_sequences(interactions, order="float32-time-row")
        return build_sequences(k_core(interactions, 2, report=False))


@reader("CSV", "data")
class Csv(DataFile):
    name = "shop.csv"
    seeds = (
        CSV,
        lines(",", "user,item,title,date").replace(b"978300", b"2001-01-01T00:00:"),
        b'user,item,"time, utc",title\n' + lines(",").replace(b"a", b'"a ""x""\n y"'),
    )


@reader("TSV", "data")
class Tsv(DataFile):
    name = "shop.tsv"
    seeds = (lines("\t", HEAD.replace(",", "\t")), lines(";", HEAD.replace(",", ";")))


@reader("Amazon's ratings without a header", "data")
class Amazon(DataFile):
    name = "ratings_Beauty.csv"
    seeds = (lines(","),)


@reader("RecBole's .inter", "data")
class Inter(DataFile):
    name = "shop.inter"
    beside = (("shop.item", b"item_id:token\ttitle:token_seq\trelease_year:token\na\tA\t1995\n"),)
    seeds = (lines("\t", "user_id:token\titem_id:token\trating:float\ttimestamp:float"),)


@reader("RecBole's .item", "data")
class Item(DataFile):
    name, target = "shop.item", "shop.inter"
    beside = (("shop.inter", Inter.seeds[0]),)
    seeds = (Inter.beside[0][1],)


@reader("ratings.dat", "data")
class RatingsDat(DataFile):
    name = "ratings.dat"
    beside = (("movies.dat", MOVIES),)
    seeds = (DAT,)


@reader("movies.dat", "data")
class MoviesDat(DataFile):
    name, target = "movies.dat", "ratings.dat"
    beside = (("ratings.dat", DAT),)
    seeds = (MOVIES,)


@reader("u.data", "data")
class UData(DataFile):
    name = "u.data"
    seeds = (lines("\t"),)


@reader("u.item", "data")
class UItem(DataFile):
    name, target = "u.item", "u.data"
    beside = (("u.data", lines("\t")),)
    seeds = (MOVIES.replace(b"::", b"|"), MOVIES.replace(b"::", b"|").decode().encode("latin-1"))


@reader("movies.csv", "data")
class MoviesCsv(DataFile):
    name, target = "movies.csv", "ratings.csv"
    beside = (("ratings.csv", lines(",", "userId,movieId,rating,timestamp")),)
    seeds = (b'movieId,title,genres\na,"A, the",x\nb,B,y\n',)


def any_archive(seeds: Sequence[bytes], chance: Random) -> bytes:
    """Damage to an archive of GroupLens: to its bytes, its members or their names."""
    members = [("ml-1m/", b""), ("ml-1m/movies.dat", MOVIES), ("ml-1m/ratings.dat", DAT)]
    if chance.randrange(3) == 0:
        return mutations.damage(chance.choice(seeds), chance)
    return mutations.damage_archive(members, chance)


@reader("zip archive", "data", any_archive)
class Zip(DataFile):
    name = "ml-1m.zip"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        chance = Random(0)
        self.seeds = [mutations.damage_archive([("ml-1m/ratings.dat", DAT)], chance)]


ODD = (
    None, "", "a", 0, -1, 1.5, math.nan, math.inf, 2**62, -(2**62), b"a", [1], [], {"a": 1}, True,
    "2001-01-01", "\ud7ff",
)  # fmt: skip


def frame_of(chance: Random) -> pl.DataFrame:
    """A table with columns of odd types and values."""
    columns = {}
    for name in chance.choice(
        (("user", "item", "timestamp"), ("user", "item"), ("user", "item", "title", "date"))
    ):
        kind = chance.randrange(14)
        size = chance.choice((0, 1, 5, 5, 5))
        if kind == 0:
            values = pl.Series([chance.choice(ODD)] * size, strict=False)
        elif kind == 1:
            values = pl.Series([chance.choice(ODD) for _ in range(size)], dtype=pl.Object)
        else:
            values = pl.Series(list(range(size)), dtype=pl.Int64)
            to = (
                pl.Int8, pl.UInt64, pl.Float32, pl.Float64, pl.Date, pl.Datetime("ns", "UTC"),
                pl.Duration("us"), pl.Time, pl.Boolean, pl.String, pl.Int64, pl.Decimal(20, 3),
            )[kind - 2]  # fmt: skip
            values = values.cast(to, strict=False)
        columns[name] = values
    longest = max(map(len, columns.values()))
    return pl.DataFrame(
        {name: v.extend_constant(None, longest - len(v)) for name, v in columns.items()}
    )


def any_parquet(seeds: Sequence[bytes], chance: Random) -> bytes:
    """Damage to a Parquet file, most of it to its metadata, which is at the end."""
    content = chance.choice(seeds)
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    if chance.randrange(2):
        return content[:start] + mutations.damage(content[start:-8], chance) + content[-8:]
    return mutations.damage(content, chance)


@reader("Parquet", "data", any_parquet)
class Parquet(DataFile):
    name = "shop.parquet"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        table = pl.DataFrame(ROWS, schema=["user", "item", "rating", "timestamp"], orient="row")
        odd = table.with_columns(
            pl.lit([[1, 2]]).alias("list"), pl.col("user").cast(pl.Categorical)
        )
        self.seeds = [
            parquet(table, "zstd"),
            parquet(table, "uncompressed"),
            parquet(odd, "snappy"),
        ]


def parquet(table: pl.DataFrame, compression: str) -> bytes:
    """A table as the content of a Parquet file."""
    stream = BytesIO()
    table.write_parquet(stream, compression=compression)  # type: ignore[arg-type]
    return stream.getvalue()


def any_seed(seeds: Sequence[bytes], chance: Random) -> bytes:
    """A number, from which a table in memory is made."""
    return str(chance.randrange(2**60)).encode()


@reader("a table in memory", "data", any_seed)
class Memory:
    def __init__(self, home: Path) -> None:
        self.seeds: Sequence[bytes] = [b"the rows"]

    def read(self, content: bytes) -> object:
        chance = Random(content)
        frame = pl.DataFrame(ROWS, ["user", "item", "rating", "timestamp"], orient="row")
        if content.isdigit():
            frame = frame_of(chance)
        kind = chance.randrange(5)
        source = (
            frame
            if kind < 2
            else frame.to_dicts()
            if kind == 2
            else frame.rows()
            if kind == 3
            else frame.to_dict()
        )
        return build_sequences(read_interactions(source))  # type: ignore[arg-type]


def any_prepared(seeds: Sequence[bytes], chance: Random) -> bytes:
    """Damage to one file of a prepared folder, which the first byte names."""
    seed = chance.choice(seeds)
    if seed[1:2] == b"{":
        return seed[:1] + any_json([seed[1:]], chance)
    damaged = seed[1:101] if chance.randrange(2) else seed[1:]
    return seed[:1] + mutations.damage(damaged, chance) + seed[1 + len(damaged) :]


@reader("a prepared folder", "data", any_prepared)
class Prepared:
    """The sums of the damaged file agree, and half of the times that of a damaged manifest."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "prepared"
        (home / "shop.csv").write_bytes(CSV)
        config = DataConfig(source=str(home / "shop.csv"), min_count=1)
        write_prepared(self.folder, prepare(config), config)
        self.good = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        self.names = sorted(self.good)
        self.seeds = [bytes([i]) + self.good[name] for i, name in enumerate(self.names)]

    def read(self, content: bytes) -> object:
        for name, good in self.good.items():
            (self.folder / name).write_bytes(good)
        name = self.names[content[0] % len(self.names)]
        (self.folder / name).write_bytes(content[1:])
        self._seal(name, content[1:])
        folder = PreparedFolder.open(self.folder)
        data = folder.load()
        assert folder.summaries
        assert folder.files
        return [data.sequences[user].sum() for user in range(min(len(data.sequences), 100))]

    def _seal(self, name: str, content: bytes) -> None:
        path = self.folder / "prepared.json"
        with suppress(ValueError, RecursionError, TypeError, UnicodeError):
            document = json.loads(path.read_bytes())
            if not isinstance(document, dict) or len(content) % 4 == 0:
                return
            if name != path.name:
                document["files"][name] = {
                    "sha256": sha256_of_bytes(content),
                    "size": len(content),
                }
            document.pop("sha256", None)
            document["sha256"] = sha256_of_document(document)
            path.write_text(json.dumps(document))
