"""Finding and loading plugins: one that fails is skipped with its reason, the others work."""

import pytest

import seqzoo
from seqzoo.checkpoint.pins import known_checkpoints
from seqzoo.checkpoint.pins_file import Pin
from seqzoo.errors import PluginError, UnknownNameError
from seqzoo.plugins import API_VERSION, load_plugins, plugins
from seqzoo.specs import resolve

GOOD = """
zoo.metric("double", "json:loads")
zoo.protocol("short", window=3)
"""
OURS = {"mamba4rec", "sasrec"}


def broken(loaded, name="linrec"):
    """The reason why a plugin is skipped; everything else must still be there."""
    record = loaded.record(name)
    assert record.status == "broken"
    assert record.provides == []
    assert "\n" not in record.reason
    assert {other.name for other in loaded.records if other.status == "ok"} >= OURS
    known = plugins().catalogue
    for registry, expected in zip(loaded.catalogue.registries(), known.registries(), strict=True):
        assert registry.names() == expected.names()
        assert [spec.plugin for spec in registry] == [spec.plugin for spec in expected]
    return record.reason


def test_a_good_plugin(install, hook):
    install(hook(GOOD))
    loaded = load_plugins()
    record = loaded.record("linrec")
    assert (record.status, record.reason, record.details) == ("ok", "", "")
    assert (record.distribution, record.version) == ("seqzoo-linrec", "1.2.3")
    assert record.provides == ["metric double", "protocol short"]
    assert record.seconds >= 0
    assert loaded.catalogue.metrics.get("double").plugin == "linrec"
    assert loaded.catalogue.protocols.get("short").settings == {"window": 3}
    # Loading keeps nothing; what this process works with is as it was.
    assert "double" not in plugins().catalogue.metrics


def test_the_first_party_plugins_come_in_by_the_same_way(site):
    loaded = load_plugins()
    assert {record.name for record in loaded.records} >= OURS
    for name in OURS:
        assert loaded.record(name).distribution == "seqzoo"
        assert loaded.catalogue.architectures.get(name).plugin == name
    assert loaded.catalogue.metrics.get("hit").plugin == "seqzoo"
    with pytest.raises(PluginError, match="no plugin 'nobody'"):
        loaded.record("nobody")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no luck\\nat all')", "RuntimeError: no luck at all"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("", "no function seqzoo_register marked with seqzoo.plugins.hookimpl"),
        ("def seqzoo_register(zoo): pass", "no function seqzoo_register marked with"),
        ("seqzoo_api_version = 2", f"plugin API 2, this seqzoo has {API_VERSION}"),
        ("seqzoo_api_version = 'new'", "plugin API new, this seqzoo has"),
        ("import asyncio; raise asyncio.CancelledError('stop')", "CancelledError: stop"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("import pytest; pytest.skip('not here', allow_module_level=True)", "Skipped: not here"),
        ("class Panic(BaseException): pass\nraise Panic('rust')", "Panic: rust"),
        ("class Mute(Exception):\n    def __str__(self): 1 / 0\nraise Mute", "Mute"),
        ("import seqzoo; seqzoo.list_models()", "uses the registry of seqzoo while it is being"),
    ],
)
def test_modules_that_fail(install, source, reason):
    install(source)
    loaded = load_plugins()
    assert reason in broken(loaded)
    assert "Traceback" in loaded.record("linrec").details


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('half way')", "ValueError: half way"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("zoo.metric('Wrong Name', 'json:loads')", "registers the metric name 'Wrong Name'"),
        ("zoo.metric('twice', 'json:loads')", "the metric 'twice' twice"),
        ("zoo.metric('hit', 'json:loads')", "'hit', which plugin 'seqzoo' already provides"),
        ("zoo.metric('other', 'json.loads')", "gives 'json.loads' as metric 'other'"),
        ("zoo.metric('other', len)", "gives <built-in function len>"),
        ("zoo.metric(3, 'json:loads')", "registers the metric name 3; a name is"),
        ("zoo.backbone('b', 'm:B', config='m:C')", "missing 1 required keyword-only argument"),
        ("zoo.backbone('b', 'm:B', config='m:C', causal=True, fast=True)", "'fast'"),
        ("zoo.dataset('d', adress='https://example.org')", "'adress'"),
        ("zoo.architecture('sasrec', embedder='item', backbone='x', head='y')", "'sasrec'"),
        ("zoo.backbon('b')", "has no attribute 'backbon'"),
        (
            "zoo.architecture('a', embedder=['item'], backbone='x', head='y')",
            "gives ['item'] as embedder of architecture 'a'; expected a string",
        ),
        ("zoo.architecture('a', embedder='item', backbone={}, head='y')", "gives {} as backbone"),
        ("zoo.pretrained('p', package='../../etc')", "package='../../etc'; expected the import"),
        ("zoo.pretrained('p', package=5)", "package=5; expected the import name"),
        ("zoo.pretrained('p', repo=5, revision='0' * 40)", "repo=5"),
        ("zoo.pretrained('p', repo='../x', revision='0' * 40)", "repo='../x'"),
        ("zoo.command('c', 'm:c', help=5)", "gives 5 as help of command 'c'; expected a string"),
        ("zoo.command('c', 'm:c', epilog=[])", "gives [] as epilog of command 'c'"),
        ("zoo.dataset('d', licence=5)", "gives 5 as licence of data set 'd'"),
        ("zoo.dataset('d', hub=['a/b'])", "gives ['a/b'] as hub of data set 'd'"),
        ("zoo.dataset('d', target='no target')", "gives 'no target' as data set 'd'"),
        ("zoo.protocol('p', description=5)", "gives 5 as description of protocol 'p'"),
    ],
)
def test_hooks_that_fail_leave_nothing_behind(install, hook, body, reason):
    """Something valid is registered first, in each case."""
    install(hook(f"zoo.metric('twice', 'json:loads')\n{GOOD}\n{body}"))
    assert reason in broken(load_plugins())


def test_a_hook_of_another_signature(install, hook):
    install(hook("pass").replace("(zoo)", "(zoo, catalogue)"))
    assert "catalogue" in broken(load_plugins())


@pytest.mark.parametrize("api", ["", f"seqzoo_api_version = {API_VERSION}\n"])
def test_the_api_version_may_be_stated(install, hook, api):
    install(api + hook(GOOD))
    assert load_plugins().record("linrec").status == "ok"


@pytest.mark.parametrize("value", ["no.such:thing", "not a module!", ":x"])
def test_entry_points_that_lead_nowhere(install, hook, value):
    install(hook(GOOD), value=value)
    assert broken(load_plugins())


def test_an_entry_point_may_be_an_object(install, site):
    (site / "seqzoo_test_object.py").write_text(
        "from seqzoo.plugins import hookimpl\n"
        "class Plugin:\n"
        "    @hookimpl\n"
        "    def seqzoo_register(self, zoo):\n"
        "        zoo.metric('double', 'json:loads')\n"
        "plugin = Plugin()\n"
    )
    install("", value="seqzoo_test_object:plugin")
    assert load_plugins().record("linrec").provides == ["metric double"]


def test_ctrl_c_is_nobodys_failure_and_names_the_plugin(install, caplog):
    install("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugins()
    assert "interrupted while the plugin 'linrec' was loaded" in caplog.text
    assert "SEQZOO_DISABLE_PLUGINS=linrec" in caplog.text


def test_a_module_name_with_a_hyphen(install, hook):
    install(hook(GOOD), value="seqzoo-linrec")
    reason = broken(load_plugins())
    assert "names the module 'seqzoo-linrec', which is not a Python name" in reason


@pytest.mark.parametrize("source", ["raise GeneratorExit", "import sys; sys.exit('bye')"])
def test_targets_may_raise_anything(site, source):
    (site / "seqzoo_test_target.py").write_text(source)
    with pytest.raises(PluginError, match="plugin 'mine' names seqzoo_test_target:x, which cannot"):
        resolve("seqzoo_test_target:x", "mine")


USER = "zoo.architecture('user', embedder='item', backbone='shared', head='tied-softmax')"
OWNER = "zoo.backbone('shared', 'm:B', config='m:C', causal=True)"


def test_a_part_may_come_from_a_plugin_that_is_loaded_later(install, hook):
    install(hook(USER), "alpha", "seqzoo-alpha")
    install(hook(OWNER), "beta", "seqzoo-beta")
    loaded = load_plugins()
    assert loaded.record("alpha").status == loaded.record("beta").status == "ok"


CHECKPOINT = f"zoo.pretrained('sasrec-elsewhere', repo='them/other', revision='{'0' * 40}')"


def test_no_other_distribution_hides_the_model_cards(install, hook):
    """For any name: ours are loaded first."""
    install(hook(CHECKPOINT), "aa-thing", "aa-thing")
    install(hook(CHECKPOINT), "cards", "seqzoo-model-cards", version="999")
    loaded = load_plugins()
    assert loaded.record("cards").provides == ["checkpoint sasrec-elsewhere"]
    assert "which plugin 'cards' already provides" in loaded.record("aa-thing").reason
    assert loaded.catalogue.pretrained.get("sasrec-elsewhere").plugin == "cards"


def test_a_pinned_name_belongs_to_seqzoo(install, hook, monkeypatch, caplog):
    pin = Pin("org/ours", "1" * 40, "f" * 64)
    monkeypatch.setattr("seqzoo.checkpoint.pins_file.pins", lambda: {"sasrec-elsewhere": pin})
    install(hook(CHECKPOINT))
    install(hook(CHECKPOINT.replace("elsewhere", "elsewhere@them")), "other", "seqzoo-other")
    install("raise RuntimeError", "damaged", "seqzoo-damaged")
    loaded = load_plugins()
    monkeypatch.setattr("seqzoo.plugins._kept_plugins", lambda: loaded)
    caplog.clear()
    for _ in range(2):
        known = known_checkpoints()
    (warning,) = caplog.messages
    assert warning == (
        "plugin 'linrec' registers the checkpoint 'sasrec-elsewhere', a name that seqzoo pins to "
        "weights of its own, which are used; a third-party checkpoint needs another name, such as "
        "'sasrec-elsewhere@VERSION'"
    )
    ours = known.get("sasrec-elsewhere")
    assert (ours.plugin, ours.repo) == ("seqzoo", "org/ours")
    assert known.get("sasrec-elsewhere@them").plugin == "other"
    with pytest.raises(UnknownNameError, match=r"plugins are broken: damaged; `seqzoo plugins`"):
        seqzoo.load("sasrec-nowhere")


def test_an_architecture_without_its_parts_sets_its_plugin_aside(install, hook, monkeypatch):
    """And everything that builds on that plugin in turn."""
    install(hook(OWNER), "alpha", "seqzoo-alpha")
    install(hook(f"{USER}\n{OWNER.replace('shared', 'second')}"), "beta", "seqzoo-beta")
    install(
        hook(USER.replace("shared", "second").replace("user", "third")), "gamma", "seqzoo-gamma"
    )
    assert {load_plugins().record(name).status for name in ("alpha", "beta", "gamma")} == {"ok"}
    monkeypatch.setenv("SEQZOO_DISABLE_PLUGINS", "alpha")
    loaded = load_plugins()
    reason = broken(loaded, "beta")
    assert "architecture 'user' uses the backbone 'shared', which no working plugin" in reason
    assert "switched off: alpha" in reason
    assert "the backbone 'second'" in broken(loaded, "gamma")
    monkeypatch.setenv("SEQZOO_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=r"beta .*backbone 'shared'"):
        load_plugins()


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.inner", "json.no.such"])
def test_a_checkpoint_of_a_package_that_is_not_installed_is_not_listed(
    install, hook, monkeypatch, package
):
    install(hook(f"zoo.pretrained('absent-one', package='{package}')"))
    loaded = load_plugins()
    assert loaded.record("linrec").status == "ok"
    monkeypatch.setattr("seqzoo.plugins.plugins", lambda: loaded)
    names = [model.name for model in seqzoo.list_models()]
    assert "absent-one" not in names
    assert "sasrec-ml1m" in names


def test_a_name_taken_by_another_plugin(install, hook):
    install(hook("zoo.metric('double', 'json:loads')"), "alpha", "seqzoo-alpha")
    install(hook("zoo.metric('double', 'json:dumps')"), "beta", "seqzoo-beta")
    loaded = load_plugins()
    assert loaded.record("alpha").status == "ok"
    record = loaded.record("beta")
    assert record.status == "broken"
    assert "'double', which plugin 'alpha' already provides" in record.reason
    assert loaded.catalogue.metrics.get("double").target == "json:loads"


def test_one_distribution_may_bring_several_plugins(install, hook):
    install(hook("zoo.metric('one', 'json:loads')"), "alpha")
    install(hook("zoo.metric('two', 'json:loads')"), "beta")
    loaded = load_plugins()
    assert loaded.record("alpha").distribution == loaded.record("beta").distribution
    assert {"one", "two"} <= set(loaded.catalogue.metrics.names())


def test_two_distributions_with_one_entry_point_name(install, hook):
    """pluggy's own loader would silently skip the second one."""
    install(hook("zoo.metric('second', 'json:loads')"), "linrec", "zz-linrec", "2.0")
    install(hook("zoo.metric('first', 'json:loads')"), "linrec", "aa-linrec", "1.0")
    loaded = load_plugins()
    first, second = (record for record in loaded.records if record.name == "linrec")
    assert (first.distribution, first.status) == ("aa-linrec", "ok")
    assert (second.distribution, second.status, second.version) == ("zz-linrec", "broken", "2.0")
    for part in ("'aa-linrec'", "'zz-linrec'", "'linrec'", "uninstall one"):
        assert part in second.reason
    assert "first" in loaded.catalogue.metrics
    assert "second" not in loaded.catalogue.metrics


def test_nobody_takes_over_a_name_of_ours(install, hook):
    install(hook("zoo.metric('mine', 'json:loads')"), "sasrec", "aa-first-in-the-alphabet")
    loaded = load_plugins()
    ours, theirs = (record for record in loaded.records if record.name == "sasrec")
    assert (ours.distribution, ours.status) == ("seqzoo", "ok")
    assert theirs.status == "broken"
    assert loaded.catalogue.architectures.get("sasrec").plugin == "sasrec"


def test_where_the_first_is_broken_the_second_may_work(install, hook):
    install("raise RuntimeError", "linrec", "aa-linrec")
    install(hook(GOOD), "linrec", "zz-linrec")
    loaded = load_plugins()
    found = {r.distribution: r.status for r in loaded.records if r.name == "linrec"}
    assert found == {"aa-linrec": "broken", "zz-linrec": "ok"}


def test_one_distribution_twice_on_the_path(install, hook, site, monkeypatch):
    again = site / "again"
    again.mkdir()
    monkeypatch.syspath_prepend(again)
    install(hook(GOOD), folder=again)
    install("raise RuntimeError")
    loaded = load_plugins()
    (record,) = (record for record in loaded.records if record.name == "linrec")
    assert record.status == "ok"


def test_a_distribution_without_its_metadata(install, hook, site):
    """What an upgrade that was cut short leaves must not keep seqzoo from starting."""
    install(hook(GOOD), "linrec", "seqzoo-linrec")
    install(hook("zoo.metric('other', 'json:loads')"), "linrec", "leftover")
    (site / "leftover-1.2.3.dist-info" / "METADATA").unlink()
    loaded = load_plugins()
    assert {record.name for record in loaded.records if record.status == "ok"} >= OURS
    assert "double" in loaded.catalogue.metrics or "other" in loaded.catalogue.metrics


def test_loaded_once():
    assert plugins() is plugins()


def test_what_it_prints_is_not_on_stdout(install, hook, capsys):
    install("print('hello from the import')\n" + hook("print('and from the hook')"), "loud")
    assert load_plugins().record("loud").status == "ok"
    said = capsys.readouterr()
    assert said.out == ""
    assert "hello from the import\nand from the hook" in said.err


@pytest.mark.parametrize(
    "given",
    [
        "repo='a/b', revision='main', sha256='" + "0" * 64 + "'",
        "repo='a/b', revision='" + "0" * 39 + "', sha256='" + "0" * 64 + "'",
        "repo='a/b', revision='" + "0" * 40 + "', sha256='0'",
        "repo='a/b'",
        "",
    ],
)
def test_a_checkpoint_is_pinned_or_shipped(install, hook, given):
    install(hook(f"zoo.pretrained('loose', {given})"), "loose")
    record = load_plugins().record("loose")
    assert record.status == "broken"
    assert "`seqzoo push` prints the line" in record.reason


def test_a_checkpoint_may_have_versions(install, hook):
    pin = "repo='a/b', revision='" + "0" * 40 + "', sha256='" + "0" * 64 + "'"
    install(hook(f"zoo.pretrained('m', {pin})\nzoo.pretrained('m@v2', {pin})"), "versions")
    assert {"m", "m@v2"} <= set(load_plugins().catalogue.pretrained.names())
