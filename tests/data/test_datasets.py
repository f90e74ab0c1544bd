import hashlib
import io
import zipfile
from dataclasses import asdict
from http.server import SimpleHTTPRequestHandler

import polars as pl
import pytest

from seqzoo.builtin_datasets import DATASETS
from seqzoo.data.datasets import cache_folder, load_interactions, source_name
from seqzoo.data.prepare import DataConfig, load_data, prepare
from seqzoo.errors import DataError, DownloadError, PluginError, UnknownNameError, UsageError
from seqzoo.specs import DatasetSpec

CSV = "user,item,time\n1,a,10\n2,b,20\n"
RATINGS = "".join(f"{user}::{item}::5::{100 + item}\n" for user in range(6) for item in range(5))


def archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("films/ratings.dat", RATINGS)
        file.writestr("films/movies.dat", "1::Fargo (1996)::Crime\n")
    return content.getvalue()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.requests.append(self.path)


@pytest.fixture
def site(tmp_path, serve):
    """The server of a publisher, with its folder, its address and its requests."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = serve(lambda *args: Quiet(*args, directory=str(folder)))
    server.folder = folder
    server.url = f"http://127.0.0.1:{server.server_port}"
    return server


@pytest.fixture(autouse=True)
def empty_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEQZOO_DATA", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def spec(name="films", **fields):
    return DatasetSpec(name, "test", **fields)


def test_a_registered_data_set_is_downloaded_once_and_its_licence_shown(site, tmp_path, capsys):
    (site.folder / "films.zip").write_bytes(archive())
    films = spec(
        url=f"{site.url}/films.zip",
        sha256=hashlib.sha256(archive()).hexdigest(),
        licence="research use",
        citation="Harper 2015",
    )
    data = load_interactions("films", specs=[films])
    assert (len(data), data.name, data.labels) == (30, "films", {"1": "Fargo (1996)"})
    out, err = capsys.readouterr()
    assert out == ""
    assert "licence: research use\ncite: Harper 2015" in err
    assert (tmp_path / "cache" / "datasets" / "films" / "films.zip").exists()
    load_interactions("films", specs={"films": films})
    assert capsys.readouterr().err == ""
    assert len(site.requests) == 1


def test_data_folder_comes_before_the_download(site, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "films"
    folder.mkdir(parents=True)
    (folder / "ratings.csv").write_text(CSV)
    monkeypatch.setenv("SEQZOO_DATA", str(tmp_path / "data"))
    films = spec(url=f"{site.url}/films.zip")
    data = load_interactions("films", specs=[films])
    assert (len(data), data.name) == (2, "films")
    assert site.requests == []


def test_a_data_set_without_a_checksum_is_checked_by_its_counts(site):
    (site.folder / "films.zip").write_bytes(archive())
    url = f"{site.url}/films.zip"
    with pytest.raises(DownloadError, match=r"6 users, 5 items and 30 inter.*expected 6, 5 and 31"):
        load_interactions("films", specs=[spec(url=url, counts=(6, 5, 31))])
    assert not list((cache_folder() / "datasets" / "films").glob("films*"))
    data = load_interactions("films", specs=[spec(url=url, counts=(6, 5, 30))])
    assert len(data) == 30
    assert (cache_folder() / "datasets" / "films" / "films.zip.sha256").exists()


def test_the_login_page_of_a_proxy_is_not_kept(site):
    (site.folder / "films.zip").write_text("<html>please log in</html>")
    films = spec(url=f"{site.url}/films.zip")
    with pytest.raises(DownloadError, match=r"is not the data set 'films'.*the file was removed"):
        load_interactions("films", specs=[films])
    (site.folder / "films.zip").write_bytes(archive())
    assert len(load_interactions("films", specs=[films])) == 30


def test_paths(tmp_path):
    (tmp_path / "here" / "shop").mkdir()
    (tmp_path / "here" / "shop" / "a.csv").write_text(CSV)
    specs = [spec("shop-of-others")]
    for source in ("shop", "./shop", "shop/a.csv", tmp_path / "here" / "shop"):
        assert len(load_interactions(source, specs=specs)) == 2
    with pytest.raises(DataError, match=r"there is no file or folder missing\.csv"):
        load_interactions("missing.csv", specs=specs)
    with pytest.raises(DataError, match=r"did you mean 'shop/a\.csv'"):
        load_interactions("shop/b.csv", specs=specs)


def test_registered_name_is_never_a_path(tmp_path):
    (tmp_path / "here" / "films").mkdir()
    (tmp_path / "here" / "films" / "a.csv").write_text(CSV)
    with pytest.raises(UsageError, match="no address to download it from; give a path"):
        load_interactions("films", specs=[spec()])
    assert len(load_interactions("./films", specs=[spec()])) == 2


def test_columns_reach_the_reader(tmp_path):
    (tmp_path / "a.csv").write_text("who,what,when\n1,a,10\n2,b,20\n")
    data = load_interactions(
        tmp_path / "a.csv", specs=[], user_col="who", item_col="what", time_col="when"
    )
    assert len(data) == 2


def test_unknown_name_shows_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'film' is unknown.*'films'\?; choose a name or g"):
        load_interactions("film", specs=[spec()])


def test_generated_data():
    made = spec("synthetic", target="seqzoo.data.synthetic:synthetic_from_options")
    assert load_interactions("synthetic", specs=[made], options={"users": 9}).num_users == 9
    assert load_interactions("synthetic", specs=[made]).num_users == 500
    broken = spec("broken", target="seqzoo.data.synthetic:nothing")
    with pytest.raises(PluginError, match="cannot be imported"):
        load_interactions("broken", specs=[broken])


def test_options_are_for_generated_data(tmp_path):
    with pytest.raises(UsageError, match="takes no options"):
        load_interactions("films", specs=[spec()], options={"users": 9})


def test_texts_that_are_not_paths(tmp_path):
    long = "x" * 5_000
    with pytest.raises(UnknownNameError, match="choose a name or give a path"):
        load_interactions(long, specs=[])
    with pytest.raises(DataError, match="is not a valid path: File name too long"):
        load_interactions(f"./{long}", specs=[])
    (tmp_path / "here" / "a.csv").write_text(CSV)
    with pytest.raises(UnknownNameError, match="the data set '' is unknown"):
        load_interactions("", specs=[])


def test_tables_in_memory_are_data(monkeypatch):
    table = [("1", "a", 10), ("2", "b", 20)]
    data = load_interactions(table, specs=[spec()])
    assert (data.name, data.frame.rows()) == ("a table in memory", table)
    assert load_interactions(data, specs=[spec()]) is data
    with pytest.raises(UsageError, match="in memory takes no options"):
        load_interactions(table, specs=[], options={"users": 9})
    with pytest.raises(DataError, match=r"were a table in memory.*give the table again \(data=…\)"):
        load_interactions("a table in memory", specs=[spec()])
    with pytest.raises(UsageError, match="the data are int; expected the name of a data set, a pa"):
        load_interactions(5, specs=[])


def test_recipes_call_tables_in_memory_by_name(tmp_path):
    table = pl.DataFrame({"who": ["1", "2"], "item": ["a", "b"], "time": [1, 2]})
    section = DataConfig(source=source_name(table), user_col="who", min_count=1)
    assert section.source == "a table in memory"
    assert prepare(section, table).users == ("1", "2")
    assert load_data(table, asdict(section)).num_users == 2
    with pytest.raises(DataError, match="give the table again"):
        prepare(section)
    path = tmp_path / "a.csv"
    table.write_csv(path)
    assert source_name(path) == source_name(str(path)) == str(path)
    assert prepare(DataConfig(source=str(path), user_col="who", min_count=1)).name == "a"


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("SEQZOO_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "seqzoo"


def test_catalogue_is_well_formed():
    names = [entry["name"] for entry in DATASETS]
    assert len(set(names)) == len(names) == 6
    for entry in DATASETS:
        films = DatasetSpec(plugin="core", **entry)
        assert films.url.startswith(("https://", "http://"))
        assert films.licence
        assert films.citation
        for digest, length in ((films.md5, 32), (films.sha256, 64)):
            assert digest is None or (len(digest) == length and int(digest, 16))
