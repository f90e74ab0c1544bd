"""All modes against plain loops in float64 over histories, positions, heads and experts."""

import math

import pytest
import torch
from torch import Tensor

from seqzoo.interfaces import SequenceBatch

Parameters = dict[str, Tensor]
SIZES = {"hidden_size": 8, "num_layers": 2, "num_heads": 2, "num_experts": 3}
MEMORY = {"memory_size": 5, "num_retrieved": 3}
WIDTH, HEADS, EXPERTS, RETRIEVED = 8, 2, 3, 3

modes = pytest.mark.parametrize("causal", [True, False])
variants = pytest.mark.parametrize("imr", ["pre", "post", "none"])
memories = pytest.mark.parametrize("forgetting", [False, True])


def softmax(scores: Tensor) -> Tensor:
    powers = torch.exp(scores - scores.max())
    return powers / powers.sum()


class Plain:
    """The model for one history [L, D], written as plainly as possible."""

    def __init__(self, parameters: Parameters, causal: bool, imr: str) -> None:
        self.p, self.causal, self.imr = parameters, causal, imr
        self.forgetting = "layers.0.log_rates" in parameters

    def norm(self, name: str, vector: Tensor) -> Tensor:
        centred = vector - vector.mean()
        scaled = centred / torch.sqrt((centred**2).mean() + 1e-12)
        return scaled * self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def find(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and values of the best slots, out of all of them."""
        query = self.norm("memory.norm", self.p["memory.query.weight"] @ query)
        rows, columns = self.p["memory.keys"]
        half = WIDTH // 2
        # Slot (i, j) has the value i m + j.
        scores = ((rows @ query[:half])[:, None] + (columns @ query[half:])[None]).flatten()
        best = scores.argsort(descending=True)[:RETRIEVED]
        return scores[best], self.p["memory.values"][best]

    def start(self, seen: Tensor) -> list[Tensor]:
        """The experts before the first layer, by the events [S, D] that the query may use."""
        learned = list(self.p["experts"])
        if self.imr != "pre":
            return learned
        scores, values = self.find(seen.mean(0) + seen[-1])
        started = []
        for expert in learned:
            weights = softmax(scores + values @ expert / math.sqrt(WIDTH))
            started.append(expert + weights @ values)
        return started

    def heads(self, name: str, vector: Tensor) -> Tensor:
        return (self.p[f"{name}.weight"] @ vector).view(HEADS, -1)

    def scores(self, layer: str, event: Tensor, experts: list[Tensor]) -> Tensor:
        """Scores of an event for each expert and head [K, H]."""
        key = self.heads(layer + "gather_key", event)
        queries = torch.stack([self.heads(layer + "gather_query", expert) for expert in experts])
        return (queries * key).sum(2) / math.sqrt(WIDTH // HEADS)

    def gathered(self, layer: str, expert: int, scores: Tensor, values: Tensor) -> Tensor:
        """Scores [S, H] and values [S, H, E] of the events that an expert reads."""
        parts = []
        for h in range(HEADS):
            lost = torch.zeros(len(scores), dtype=scores.dtype)
            if self.forgetting:
                rate = torch.exp(self.p[layer + "log_rates"][h, expert])
                lost = torch.stack([rate * age for age in reversed(range(len(scores)))])
            parts.append(softmax(scores[:, h] - lost) @ values[:, h])
        return torch.cat(parts)

    def read(self, layer: str, event: Tensor, experts: list[Tensor]) -> Tensor:
        query = self.heads(layer + "read_query", event)
        keys = torch.stack([self.heads(layer + "read_key", expert) for expert in experts])
        values = torch.stack([self.heads(layer + "read_value", expert) for expert in experts])
        parts = []
        for h in range(HEADS):
            weights = softmax(keys[:, h] @ query[h] / math.sqrt(WIDTH // HEADS))
            parts.append(weights @ values[:, h])
        event = self.norm(layer + "read_norm", event + torch.cat(parts))
        inner = self.p[layer + "feed_1.weight"] @ event + self.p[layer + "feed_1.bias"]
        inner = 0.5 * inner * (1.0 + torch.erf(inner / math.sqrt(2.0)))
        inner = self.p[layer + "feed_2.weight"] @ inner + self.p[layer + "feed_2.bias"]
        return self.norm(layer + "feed_norm", event + inner)

    def running_layer(
        self, layer: str, events: list[Tensor], experts: list[list[Tensor]]
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Position t gathers the events up to t, each scored for the experts at that event."""
        scores = torch.stack(
            [self.scores(layer, *pair) for pair in zip(events, experts, strict=True)]
        )
        values = torch.stack([self.heads(layer + "gather_value", event) for event in events])
        after = []
        for t in range(len(events)):
            own = []
            for k in range(EXPERTS):
                gathered = self.gathered(layer, k, scores[: t + 1, k], values[: t + 1])
                own.append(self.norm(layer + "gather_norm", experts[t][k] + gathered))
            after.append(own)
        return [self.read(layer, *pair) for pair in zip(events, after, strict=True)], after

    def whole_layer(
        self, layer: str, events: list[Tensor], experts: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """One set of experts gathers all events; every event reads from it."""
        values = torch.stack([self.heads(layer + "gather_value", event) for event in events])
        scores = torch.stack([self.scores(layer, event, experts) for event in events])
        after = []
        for k, expert in enumerate(experts):
            gathered = self.gathered(layer, k, scores[:, k], values)
            after.append(self.norm(layer + "gather_norm", expert + gathered))
        return [self.read(layer, event, after) for event in events], after

    def __call__(self, hidden: Tensor) -> Tensor:
        events = list(hidden)
        if self.causal:
            running = [self.start(hidden[: t + 1]) for t in range(len(hidden))]
            for number in range(SIZES["num_layers"]):
                events, running = self.running_layer(f"layers.{number}.", events, running)
        else:
            whole = self.start(hidden)
            for number in range(SIZES["num_layers"]):
                events, whole = self.whole_layer(f"layers.{number}.", events, whole)
        if self.imr == "post":
            found = []
            for event in events:
                scores, values = self.find(event)
                found.append(self.norm("memory_norm", event + softmax(scores) @ values))
            events = found
        return torch.stack(events)


def batch_of(rows: int, length: int) -> SequenceBatch:
    """Only lengths matter here; 16 and 17 end just before and after a chunk boundary."""
    ragged = [length, 1, 2, length // 2, 16, 17, 3]
    lengths = torch.tensor(ragged[:rows]).clamp(1, length)
    return SequenceBatch(torch.zeros(rows, length, dtype=torch.int64), lengths)


def both(make, shake, causal, imr, forgetting, rows, length):
    """Our backbone, copies of its parameters, input as a leaf, batch."""
    settings = {"causal": causal, "imr": imr, "forgetting": forgetting, **SIZES, **MEMORY}
    ours = shake(make("elastic", **settings)).eval().backbone
    theirs = {
        name: value.detach().clone().requires_grad_() for name, value in ours.named_parameters()
    }
    draw = torch.Generator().manual_seed(length)
    hidden = torch.randn(rows, length, WIDTH, generator=draw, dtype=torch.float64)
    return ours, theirs, hidden.requires_grad_(), batch_of(rows, length)


def expected_of(plain: Plain, hidden: Tensor, batch: SequenceBatch) -> list[Tensor]:
    lengths = batch.lengths.tolist()
    return [plain(row[:length]) for row, length in zip(hidden, lengths, strict=True)]


@modes
@variants
@memories
@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 31, pytest.param(200, marks=pytest.mark.slow)])
def test_values_and_all_gradients(causal, imr, forgetting, rows, length, make, shake, compare):
    ours, theirs, hidden, batch = both(make, shake, causal, imr, forgetting, rows, length)
    copy = hidden.detach().clone().requires_grad_()
    expected = torch.cat(expected_of(Plain(theirs, causal, imr), copy, batch))
    got = ours(hidden, batch)[batch.mask]
    pairs = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    compare(expected, got, {**pairs, "the events": (copy, hidden)})


@modes
@variants
@memories
@pytest.mark.parametrize("length", [1, 16, 31])
def test_newest_event_alone(causal, imr, forgetting, length, make, shake, compare):
    """``last`` computes the top layer differently; gradients must agree, too."""
    ours, theirs, hidden, batch = both(make, shake, causal, imr, forgetting, 7, length)
    copy = hidden.detach().clone().requires_grad_()
    rows = expected_of(Plain(theirs, causal, imr), copy, batch)
    expected = torch.stack([row[-1] for row in rows])
    pairs = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    compare(expected, ours.last(hidden, batch), {**pairs, "the events": (copy, hidden)})


@memories
@pytest.mark.parametrize("imr", ["none", "post"])
@pytest.mark.parametrize(("layers", "alike"), [(1, True), (2, False)])
def test_where_the_two_forms_meet(imr, forgetting, layers, alike, make, shake):
    """Initial experts that depend on no event give equal scores in both forms; others do not."""
    sizes = {**SIZES, **MEMORY, "imr": imr, "forgetting": forgetting, "num_layers": layers}
    running = shake(make("elastic", **sizes)).eval().backbone
    whole = make("elastic", causal=False, **sizes).double().eval().backbone
    whole.load_state_dict(running.state_dict())
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 31, WIDTH, generator=draw, dtype=torch.float64)
    batch = batch_of(7, 31)
    difference = (running.last(hidden, batch) - whole.last(hidden, batch)).abs().max()
    assert difference < 1e-11 if alike else difference > 1e-3
