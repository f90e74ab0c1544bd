"""``seqzoo data``: describe, prepare, and runs on the prepared folder."""

import json

import pytest

SHOP = ("--user-col", "customer", "--item-col", "sku", "--time-col", "bought_at")
SMALL = ("model.hidden_size=16", "model.max_length=12", "train.epochs=1", "--min-count", 3)


def test_its_commands_and_their_help(seqzoo, refused):
    overview = seqzoo("data")
    assert overview == seqzoo("data", "--help")
    assert (overview.code, overview.err) == (0, "")
    for name in ("describe", "prepare"):
        answer = seqzoo("data", name, "--help")
        assert answer.out.startswith(f"Usage: seqzoo data {name} [OPTIONS] SOURCE [data.KEY=VALUE]")
        assert f"Example:  seqzoo data {name} " in answer.out
        first = answer.out.splitlines()[2].strip()
        assert f"{name} " in overview.out
        assert first in " ".join(overview.out.split())
    assert "unknown command 'descibe'; did you mean 'describe'?" in refused("data", "descibe", "x")
    assert "`seqzoo data --help` shows" in refused("data", "descibe", "x")
    assert "unknown option '--min-cuont'" in refused("data", "describe", "x", "--min-cuont", 3)


def test_describe_shows_every_stage(seqzoo, shop_csv):
    answer = seqzoo("data", "describe", shop_csv, *SHOP, "--min-count", 3)
    assert (answer.code, answer.err) == (0, "")
    name, _, heads, *stages = answer.out.splitlines()
    assert name == "shop"
    assert heads.split()[:4] == ["rows", "users", "items", "events/user"]
    assert [line.split("  ")[0] for line in stages] == ["as read", "3-core"]
    document = json.loads(seqzoo("data", "describe", shop_csv, *SHOP, "--json").out)
    assert [stage["stage"] for stage in document["stages"]] == ["as read", "5-core"]
    assert document["stages"][0]["users"] == 80
    assert (document["name"], document["warning"], document["smaller"]) == ("shop", None, [])
    assert document["stages"][0]["events_per_user"].keys() == {
        "mean", "min", "median", "p90", "max",
    }  # fmt: skip


def test_a_filter_that_keeps_nothing_is_a_warning_with_the_numbers(seqzoo, shop_csv):
    answer = seqzoo("data", "describe", shop_csv, *SHOP, "--min-count", 60)
    assert answer.code == 0
    assert answer.err.startswith("warning: shop: ")
    assert "of 80 users with 30 items; after the 60-core filter: nothing; to keep" in answer.err
    assert "\n60-core " in answer.out
    assert "\n2-core " in answer.out
    quiet = seqzoo("data", "describe", shop_csv, *SHOP, "--min-count", 60, "--quiet", "--json")
    assert quiet.err == ""
    assert "after the 60-core filter: nothing" in json.loads(quiet.out)["warning"]


def test_a_picture_on_request(seqzoo, refused, shop_csv, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "shop.svg"
    answer = seqzoo("data", "describe", shop_csv, *SHOP, "--plot", picture)
    assert answer.out.endswith(f"plot: {picture}\n")
    assert "number of items" in picture.read_text()
    message = refused("data", "describe", shop_csv, *SHOP, "--plot", tmp_path / "a.gif")
    assert "ends in '.gif'" in message


def test_a_prepared_folder_trains_and_evaluates_like_its_file(seqzoo, refused, shop_csv, tmp_path):
    out, label = tmp_path / "prepared", ("--label-col", "name")
    words = ("data", "prepare", shop_csv, "--out", out, *SHOP, *label, "--min-count", 3)
    answer = seqzoo(*words, "--json")
    assert (answer.code, answer.err) == (0, "")
    document = json.loads(answer.out)
    assert document["bytes"] == sum((out / name).stat().st_size for name in document["files"])
    assert [stage["stage"] for stage in document["stages"]] == ["as read", "3-core"]
    assert "holds prepared data already" in refused(*words)
    assert f"--data {out}" in seqzoo(*words, "--overwrite").out
    described = json.loads(seqzoo("data", "describe", out, "--json").out)
    assert described["stages"] == document["stages"]

    runs = {}
    for name, given in (("file", (shop_csv, *SHOP, *label)), ("folder", (out,))):
        run = tmp_path / name
        source, *columns = given
        trained = seqzoo(
            "train", "gru4rec", "--data", source, *columns, "--out", run, *SMALL, "--json"
        )
        assert trained.code == 0, trained.err
        runs[name] = json.loads(trained.out)
        assert f"{source.stem}, 3-core: " in trained.err or "shop, 3-core: " in trained.err
        weights = (run / "model.safetensors").read_bytes()
        runs[name].update(weights=weights, vocabulary=(run / "vocabulary.json").read_bytes())
    for key in ("metrics", "stages", "weights", "vocabulary"):
        assert runs["folder"][key] == runs["file"][key]

    # The filter of the folder is the default, without --min-count too.
    for model, source in (("file", out), ("folder", out), ("folder", None)):
        option = () if source is None else ("--data", source)
        measured = json.loads(seqzoo("eval", tmp_path / model, *option, "--json").out)
        assert (measured["drift"], measured["data"]["match"]) == ({}, "same")
        assert measured["data"]["stages"] == document["stages"]
    assert "\n3-core: " in seqzoo("eval", tmp_path / "folder").out

    message = refused("eval", tmp_path / "file", "--data", out, "--min-count", 4)
    assert "was prepared with min_count=3, and min_count=4 is needed" in message
    message = refused("eval", tmp_path / "file", "--data", out, "--protocol", "loo-recbole")
    assert "again with --min-count 5 --order float32-time-row" in message
    message = refused("train", "gru4rec", "--data", out, "--user-col", "customer")
    assert "columns are chosen already; leave out user_col" in message
    (out / "items.npy").write_bytes(b"")
    assert "items.npy has 0 bytes" in refused("eval", tmp_path / "file", "--data", out)


def test_what_prepare_refuses(refused, shop_csv, tmp_path):
    assert "missing option '--out'" in refused("data", "prepare", shop_csv)
    (tmp_path / "notes.txt").write_text("mine")
    message = refused("data", "prepare", shop_csv, *SHOP, "--out", tmp_path)
    assert "holds other files, such as notes.txt" in message
    message = refused("data", "prepare", shop_csv, "--out", tmp_path / "a", "train.lr=1")
    assert "data takes settings of data.*; got some of train" in message
    assert "no column is recognised" in refused(
        "data", "prepare", shop_csv, "--out", tmp_path / "a"
    )
    assert not (tmp_path / "a").exists()


def test_generated_data_with_options(seqzoo, tmp_path):
    words = ("data.options={users: 40, items: 20}", "--min-count", 2, "--json")
    described = json.loads(seqzoo("data", "describe", "synthetic", *words).out)
    prepared = json.loads(
        seqzoo("data", "prepare", "synthetic", "--out", tmp_path / "out", *words).out
    )
    assert prepared["stages"] == described["stages"]
    assert described["stages"][0]["users"] == 40
