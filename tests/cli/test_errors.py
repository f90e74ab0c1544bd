"""A user's mistake: exit code 2, one line that says what to do, nothing on stdout or on disk."""

import json

import pytest


def contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture
def refused_and_unwritten(refused, tmp_path):
    """As ``refused``; and in the test's folder nothing has changed."""

    def call(*words):
        before = contents(tmp_path)
        said = refused(*words)
        assert contents(tmp_path) == before
        return said

    return call


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lst"], "unknown command 'lst'; did you mean 'list'? `seqzoo --help`"),
        (["zzzz"], "unknown command 'zzzz'; `seqzoo --help`"),
        (["list", "--jsn"], "unknown option '--jsn'; did you mean '--json'? `seqzoo list --help`"),
        (["--verzion"], "unknown option '--verzion'; did you mean '--version'?"),
        (["list", "-x"], "unknown option '-x'; `seqzoo list --help`"),
        (["info"], "missing argument 'NAME'"),
        (["info", "a", "b"], "unexpected extra argument"),
        (["eval", "mamba4rec-ml1m", "--data"], "'--data' requires an argument; `seqzoo eval -"),
        (["recommend", "a", "-k", "x", "--history", "1"], "'-k': 'x' is not a whole number"),
        (["recommend", "a", "--on-unknown", "no"], "'no' is not one of 'skip', 'error'"),
        (["recommend", "a", "--history", "1", "--timestamps", "now"], "'now' is not a whole"),
        (["plugins", "--traceback", "nobody"], "no plugin 'nobody'"),
    ],
)
def test_wrong_usage(refused, words, message):
    assert message in refused(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "mamba4rec-ml1n"], "did you mean 'mamba4rec-ml1m'?"),
        (["recommend", "mamba4rec-ml1n", "--history", "1"], "did you mean 'mamba4rec-ml1m'?"),
        (["eval", "sasrek-ml1m"], "did you mean 'sasrec-ml1m'?"),
        (["info", "./nosuch"], "no folder ./nosuch; `seqzoo list`"),
        (["info", "runs/nosuch"], "no folder runs/nosuch; `seqzoo list`"),
        (["info", "qqqq"], "unknown model 'qqqq'. `seqzoo list`"),
        (["recommend", "sasrec", "--history", "1"], "is an architecture, which has no weights"),
        (["recommend", "./nowhere", "--history", "1"], "no folder ./nowhere; `seqzoo list`"),
        (["eval", "hf://org"], "expected hf://org/name"),
        (["train", "sasrek", "--data", "synthetic"], "did you mean 'sasrec'?"),
        (["train", "missing.yaml"], "recipe missing.yaml cannot be read"),
        (["train", "sasrec"], "no data given"),
    ],
)
def test_unknown_models(refused_and_unwritten, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused_and_unwritten(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--history"], "option '--history' needs one value or more"),
        ([], "the history is empty"),
        (["--history", "i1", "-k", "0"], "k is 0; expected 1 to 40"),
        (["--history", "i1", "-k", "-3"], "k is -3; expected 1 to 40"),
        (["--history", "i1", "-k", "41"], "k is 41; expected 1 to 40"),
        (["--history", "gone", "lost"], "does not know: 'gone', 'lost'"),
        (["--history", "i1", "gone", "--on-unknown", "error"], "does not know: 'gone'"),
        (["--history", "1,2"], "does not know: '1,2'"),
        (["--history", "i1", "--candidates", "gone"], "candidates: item ids the model does not"),
        (["--history", "i1", "--timestamps", "1", "2"], "2 timestamps for 1 items"),
    ],
)
def test_histories_that_cannot_be(refused, trained, words, message):
    assert message in refused("recommend", trained.folder, *words, "--json")


def test_no_model_is_named(refused):
    assert "seqzoo recommend NAME --history" in refused("recommend", "--history", "i1", "i2")


ROWS = [f"u{user},i{(user + step) % 9},{step}" for user in range(12) for step in range(6)]


def table(*rows, header="user,item,timestamp"):
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (None, [], "there is no file or folder"),
        ("", [], "is empty"),
        ("user,item,timestamp\n", [], "has a header but no rows"),
        (table(*ROWS, header="user,item,rating"), [], "no column is recognised as the time column"),
        (table(*ROWS), ["--user-col", "uzer"], "no column 'uzer' for the user (--user-col)"),
        (table(*ROWS, "u1,i1,soon"), [], "line 74: the timestamp 'soon' is not a time"),
        (table(*ROWS[:4], "u1,i1", *ROWS[4:]), [], "line 6: 2 fields, expected 3"),
        (table(*ROWS, header="user,item,item"), [], "several columns have the name 'item'"),
        (table(*ROWS[:6]), [], "has only one user"),
        (table(*ROWS), ["--min-count", "50"], "give a lower --min-count"),
        (table(*ROWS), ["--min-count", "0"], "expected 1 or more"),
        (table(*ROWS[:1], ROWS[7], ROWS[13]), ["--min-count", "1"], "the longest history has 1"),
    ],
)
def test_data_that_cannot_be_used(refused_and_unwritten, tmp_path, content, words, message):
    path = tmp_path / "data.csv"
    if content is not None:
        path.write_text(content)
    words = ("train", "sasrec", "--data", path, "--out", tmp_path / "out", *words)
    assert message in refused_and_unwritten(*words, "--json")


def test_unknown_data_set(refused):
    said = refused("train", "sasrec", "--data", "ml-1n")
    assert "did you mean 'ml-1m'?" in said


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.num_layer=2", "unknown setting 'model.num_layer'; did you mean 'model.num_layers'"),
        ("train.learning_rate=1", "unknown setting 'train.learning_rate'"),
        ("data.sauce=x", "did you mean 'data.source'"),
        ("num_layers=2", "unknown key 'num_layers'; a setting belongs to 'model'"),
        ("modell.num_layers=2", "did you mean 'model'?"),
        ("model.num_layers=two", "'model.num_layers' is 'two'; expected int"),
        ("model.num_layers=0", "expected 1 or more"),
        ("model.num_heads=7", "not a multiple"),
        ("model=3", "the recipe: 'model' is 3, expected settings by name"),
        ("train.lr=-1", "expected more than 0"),
        ("train.protocols=[loo]", "did you mean 'loo-full'"),
        ("nonsense", "not of the form section.key=value"),
        ("model.x=[1", "cannot be read"),
    ],
)
def test_settings_are_checked_before_data_are_read(
    refused_and_unwritten, tmp_path, setting, message
):
    words = ("train", "sasrec", "--data", tmp_path / "no.csv", "--out", tmp_path / "out", setting)
    assert message in refused_and_unwritten(*words)


def test_out_folders_that_cannot_be(refused_and_unwritten, tmp_path, tiny):
    file = tmp_path / "file"
    file.write_text("something of the user's")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")

    def train(out):
        return refused_and_unwritten("train", "sasrec", "--data", "synthetic", "--out", out)

    assert "is a file; give a folder as --out" in train(file)
    assert "is a file; give a folder as --out" in train(file / "below")
    assert "is not empty and holds no run" in train(tmp_path / "full")
    assert "holds a run of another recipe" in train(tiny)


def flip(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def newer(folder):
    path = folder / "config.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"format_version": 99}, indent=2))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "model.safetensors"),
        (lambda folder: (folder / "vocabulary.json").unlink(), "vocabulary.json"),
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (newer, "format_version 99"),
    ],
)
def test_damaged_checkpoints(refused_and_unwritten, tiny, damage, message):
    damage(tiny)
    assert message in refused_and_unwritten("recommend", tiny, "--history", "i1")
    assert message in refused_and_unwritten("eval", tiny, "--json")


def test_a_file_is_not_a_checkpoint(refused, tmp_path):
    (tmp_path / "file").write_text("text")
    assert "is a file" in refused("info", tmp_path / "file")


def test_evaluation_without_sense(refused, trained):
    def said(*words):
        return refused("eval", trained.folder, *words)

    assert "did you mean 'loo-full'?" in said("--protocol", "loo")
    assert "--batch-size is 0" in said("--batch-size", 0)
    assert "there is no file or folder" in said("--data", "./none.csv")
    assert "device 'nope'" in said("--device", "nope")
    assert "the 99-core" in said("--min-count", 99)


def test_the_real_command_ends_with_2_and_one_line(process, tmp_path):
    answer = process("recommend", "mamba4rec-ml1n", "--history", "1", cwd=tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("error: unknown model 'mamba4rec-ml1n'; did you mean")
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_system_are_one_line_too(refused, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "/somewhere/file")

    monkeypatch.setattr("seqzoo.zoo.list_models", full)
    assert refused("list") == "error: No space left on device: /somewhere/file\n"


def test_messages_show_no_control_characters(refused):
    said = refused("info", "\x1b[2Jname\nsecond line")
    assert "\x1b" not in said
    assert r"\x1b[2Jname second line" in said
