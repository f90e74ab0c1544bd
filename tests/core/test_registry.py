import dataclasses

import pytest

from seqzoo.errors import PluginError, UnknownNameError
from seqzoo.registry import Catalogue, Registrar, Registry
from seqzoo.specs import MetricSpec, PartSpec, Spec, resolve


def register(*calls, plugin="mine"):
    registrar = Registrar(plugin)
    for method, arguments, options in calls:
        getattr(registrar, method)(*arguments, **options)
    return registrar.staged


def metric(name, target="json:loads"):
    return ("metric", (name, target), {})


def test_names_belong_to_whom_came_first():
    registry = Registry("metric")
    registry.add(MetricSpec("hit", "core", "json:loads"))
    with pytest.raises(
        PluginError, match=r"'other' registers the metric 'hit', which plugin 'core' already"
    ) as caught:
        registry.add(MetricSpec("hit", "other", "json:dumps"))
    assert "SEQZOO_DISABLE_PLUGINS" in str(caught.value)
    assert registry.get("hit").plugin == "core"


def test_looking_up():
    registry = Registry("metric")
    with pytest.raises(UnknownNameError, match=r"unknown metric 'hit'.*Known: none"):
        registry.get("hit")
    for name in ("ndcg", "hit"):
        registry.add(MetricSpec(name, "core", "json:loads"))
    assert registry.names() == ["hit", "ndcg"]
    assert [spec.name for spec in registry] == ["hit", "ndcg"]
    assert len(registry) == 2
    assert "hit" in registry
    assert "mrr" not in registry
    with pytest.raises(UnknownNameError, match=r"did you mean 'ndcg'\?.*Known: hit, ndcg"):
        registry.get("ndgc")


@pytest.mark.parametrize("name", ["", "Hit", "hit@10", "-hit", ".hit", "hit rate", "hit\n", "hït"])
def test_malformed_names(name):
    with pytest.raises(PluginError, match="plugin 'mine' registers the metric name"):
        Catalogue().take(register(metric(name)))


@pytest.mark.parametrize("name", ["a", "0", "loo-full", "ml-1m", "v1.2_x"])
def test_good_names(name):
    catalogue = Catalogue()
    catalogue.take(register(metric(name)))
    assert name in catalogue.metrics


@pytest.mark.parametrize(
    "target",
    ["json", "json:", ":loads", "json loads", "json:loads:x", "json:a.b", "", 3, len, None],
)
def test_malformed_targets(target):
    for call in (
        metric("m", target),
        ("embedder", ("e", target), {"config": "json:loads"}),
        ("head", ("h", "json:loads"), {"config": target}),
        ("loss", ("l", target), {"config": "json:loads"}),
        ("backbone", ("b", "json:loads"), {"config": target, "causal": True}),
        ("command", ("c", target), {}),
    ):
        with pytest.raises(PluginError, match=r"plugin 'mine' gives .* as .*'package.module:Name'"):
            register(call)


def test_all_or_nothing():
    catalogue = Catalogue()
    catalogue.take(register(metric("known"), plugin="core"))
    for last in (metric("known"), metric("Wrong"), metric("new")):
        staged = register(metric("new"), ("protocol", ("mine",), {"remove_seen": True}), last)
        with pytest.raises(PluginError):
            catalogue.take(staged)
        assert catalogue.metrics.names() == ["known"]
        assert catalogue.protocols.names() == []


def test_one_name_for_things_of_different_kinds():
    catalogue = Catalogue()
    parts = {"config": "json:loads"}
    catalogue.take(
        register(
            ("embedder", ("linrec", "json:loads"), parts),
            ("backbone", ("linrec", "json:loads"), {**parts, "causal": False, "streaming": True}),
            ("head", ("linrec", "json:loads"), parts),
            ("loss", ("linrec", "json:loads"), parts),
            ("objective", ("linrec", "json:loads"), parts),
            (
                "architecture",
                ("linrec",),
                {"embedder": "item", "backbone": "linrec", "head": "linrec", "defaults": {"a": 1}},
            ),
            ("pretrained", ("linrec",), {"repo": "org/linrec", "revision": "c" * 40}),
            ("dataset", ("linrec",), {"url": "https://example.org/x.zip"}),
            ("split", ("linrec", "json:loads"), {"description": "short"}),
            metric("linrec"),
            ("protocol", ("linrec",), {"window": 3, "description": "short"}),
            ("command", ("linrec", "json:loads"), {"help": "words"}),
        )
    )
    assert [len(registry) for registry in catalogue.registries()] == [1] * 12
    for registry in catalogue.registries():
        assert registry.get("linrec").plugin == "mine"
    backbone = catalogue.backbones.get("linrec")
    assert (backbone.causal, backbone.streaming, backbone.uses_time) == (False, True, False)
    assert catalogue.architectures.get("linrec").defaults == {"a": 1}
    assert catalogue.splits.get("linrec").description == "short"
    assert catalogue.metrics.get("linrec").of == "ranks"
    assert catalogue.protocols.get("linrec").settings == {"window": 3}
    assert catalogue.commands.get("linrec").help == "words"


def test_a_metric_is_of_ranks_or_of_lists():
    ((_, spec),) = register(("metric", ("mine", "json:loads"), {"of": "lists"}))
    assert spec.of == "lists"
    with pytest.raises(PluginError, match="the metric 'mine' of 'users'; expected 'ranks' or"):
        register(("metric", ("mine", "json:loads"), {"of": "users"}))


def test_specs_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Spec("a", "b").name = "c"


def test_targets_are_imported_when_used():
    import json

    spec = PartSpec("x", "mine", "json:loads", "json:dumps")
    assert spec.load() is json.loads
    assert spec.load_config() is json.dumps


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module_at_all:Thing", "ModuleNotFoundError"),
        ("json:no_such_thing", "AttributeError"),
    ],
)
def test_targets_that_are_not_there(target, reason):
    with pytest.raises(PluginError, match=rf"plugin 'mine' names {target}.*{reason}"):
        resolve(target, "mine")


PUBLISHED = {"data": "toy", "protocol": "loo-full", "source": "a paper", "hit@10": 0.3}


def architecture(entry):
    parts = {"embedder": "item", "backbone": "linrec", "head": "tied-softmax"}
    return ("architecture", ("linrec",), {**parts, "published": [entry]})


def test_published_metrics():
    ((_, spec),) = register(architecture({**PUBLISHED, "settings": {"num_layers": 2}}))
    (found,) = spec.published_for({"num_layers": 2, "dropout": 0.1})
    assert (found.data, found.source, found.metrics) == ("toy", "a paper", {"hit@10": 0.3})
    assert spec.published_for({"num_layers": 1}) == spec.published_for({}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"data": None},
        {"source": ""},
        {"protocol": 3},
        {"hit@10": "0.3"},
        {"settings": [1]},
        {"hit": 0.3},
    ],
)
def test_published_metrics_that_are_incomplete(change):
    with pytest.raises(PluginError, match=r"published for 'linrec' as .*; expected data"):
        register(architecture({**PUBLISHED, **change}))
    without = {key: value for key, value in PUBLISHED.items() if key not in change}
    if len(without) < len(PUBLISHED) and "settings" not in change:
        with pytest.raises(PluginError, match="expected data, protocol and source"):
            register(architecture(without))
