"""Switching plugins off, and being strict about those that are broken."""

import sys

import pytest

from seqzoo.errors import PluginError
from seqzoo.plugins import load_plugins
from tests.core.test_plugins import GOOD, OURS


@pytest.mark.parametrize(
    ("variables", "disabled"),
    [
        ({"SEQZOO_DISABLE_PLUGINS": "linrec"}, {"linrec"}),
        ({"SEQZOO_DISABLE_PLUGINS": " linrec , sasrec,"}, {"linrec", "sasrec"}),
        ({"SEQZOO_DISABLE_PLUGINS": "nobody"}, set()),
        ({"SEQZOO_DISABLE_PLUGINS": ""}, set()),
        ({"SEQZOO_PLUGINS": "linrec"}, OURS),
        ({"SEQZOO_PLUGINS": "sasrec, linrec"}, {"mamba4rec"}),
        ({"SEQZOO_PLUGINS": ""}, {"linrec", *OURS}),
        ({"SEQZOO_PLUGINS": "linrec", "SEQZOO_DISABLE_PLUGINS": "linrec"}, {"linrec", *OURS}),
    ],
)
def test_switching_off(install, hook, monkeypatch, variables, disabled):
    module = install(hook(GOOD))
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    loaded = load_plugins()
    status = {record.name: record.status for record in loaded.records}
    assert {n for n in ("linrec", *OURS) if status[n] == "disabled"} == disabled
    assert {n for n in ("linrec", *OURS) if status[n] == "ok"} == {"linrec", *OURS} - disabled
    assert ("double" in loaded.catalogue.metrics) == ("linrec" not in disabled)
    assert ("sasrec" in loaded.catalogue.architectures) == ("sasrec" not in disabled)
    # What the core registers is not a plugin and stays; what is off is not even imported.
    assert "hit" in loaded.catalogue.metrics
    assert (module in sys.modules) == ("linrec" not in disabled)
    for record in loaded.records:
        if record.status == "disabled":
            assert "SEQZOO_" in record.reason
            assert record.provides == []


@pytest.mark.parametrize("variable", ["SEQZOO_DISABLE_PLUGINS", "SEQZOO_PLUGINS"])
def test_a_switch_for_an_absent_plugin_gives_a_warning(monkeypatch, caplog, variable):
    monkeypatch.setenv(variable, "sasrek,sasrec")
    load_plugins()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == f"{variable} names the plugin 'sasrek', which is not installed; did you mean " \
        "'sasrec'?"  # fmt: skip


def test_a_broken_plugin_can_be_switched_off(install, monkeypatch):
    install("raise RuntimeError")
    monkeypatch.setenv("SEQZOO_STRICT_PLUGINS", "1")
    monkeypatch.setenv("SEQZOO_DISABLE_PLUGINS", "linrec")
    assert load_plugins().record("linrec").status == "disabled"


@pytest.mark.parametrize("value", ["", "0"])
def test_strictness_has_to_be_asked_for(install, monkeypatch, value):
    install("raise RuntimeError")
    monkeypatch.setenv("SEQZOO_STRICT_PLUGINS", value)
    assert load_plugins().record("linrec").status == "broken"


def test_strict(install, hook, monkeypatch):
    monkeypatch.setenv("SEQZOO_STRICT_PLUGINS", "1")
    install(hook(GOOD), "alpha", "seqzoo-alpha")
    assert load_plugins().record("alpha").status == "ok"
    install("raise RuntimeError('no luck')", "beta", "seqzoo-beta", "0.1")
    install("raise ValueError('nor here')", "gamma", "seqzoo-gamma", "0.2")
    with pytest.raises(PluginError) as caught:
        load_plugins()
    text = str(caught.value)
    assert "beta (seqzoo-beta 0.1): RuntimeError: no luck" in text
    assert "gamma (seqzoo-gamma 0.2): ValueError: nor here" in text
    assert "alpha" not in text
