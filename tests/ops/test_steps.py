"""Steps by the compiled kernels: their results, and when PyTorch computes them instead."""

import copy
import pickle
import threading
from itertools import pairwise

import pytest
import torch
from torch import nn

import seqzoo
from seqzoo.ops import CompiledStep, StepOperations, backends, compiled_step
from seqzoo.ops.native import recorder
from seqzoo.ops.native.program import Program, native_step
from seqzoo.ops.nested import leaves
from seqzoo.ops.step_example import Example
from seqzoo.ops.step_operations import torch_step

SIZES = [
    (1, 1, 1, 1, 1, 1),
    (1, 16, 8, 2, 8, 16),
    (3, 17, 5, 3, 6, 7),
    (13, 70, 33, 2, 24, 40),
    (40, 128, 32, 4, 32, 32),
]
"""Users, channels, states per channel, heads, width of a head, its states."""


def example(users, channels, states, heads, width, head_states):
    """Embedded events, states and seconds as float64."""
    draw = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(users, *shape, generator=draw).double()

    tail, state = normal(3, channels), normal(states, channels)
    given = (tail, state, normal(heads, width, head_states), normal(2, width), normal(states, 2))
    return normal(channels), given, torch.arange(users) * 7000 - 3


def floats(state):
    return tuple(tensor.float() for tensor in state)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_operation(level, size):
    hidden, state, seconds = example(*size)
    module = Example(*state).double().eval()
    given = floats(state)
    before = [tensor.clone() for tensor in given]
    with torch.no_grad():
        exact = torch_step(module, hidden, state, seconds)
        found = native_step(module.float(), hidden.float(), given, seconds)
    for got, wanted in zip(leaves(found), leaves(exact), strict=True):
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 3e-6 * wanted.abs().max()
    assert all(map(torch.equal, given, before))


@pytest.mark.usefixtures("native")
def test_a_recorder_has_every_operation():
    """One that it inherits would compute with registers instead of recording."""
    own, inherited = vars(recorder.Recorder), vars(StepOperations)
    assert {name for name in inherited if not name.startswith("_")} <= set(own)
    named = set(recorder.CODES) - {"embedding"}
    _, state, _ = example(*SIZES[1])
    done = recorder.Recorder()
    stored = [recorder.Stored(i, tuple(t.shape[1:])) for i, t in enumerate(state)]
    Example(*state).write_step(done, done.new(16), tuple(stored), recorder.SECONDS)
    assert {one.code for one in done.instructions} == named


@pytest.mark.usefixtures("native")
def test_a_state_may_be_overwritten_unless_its_tensors_share_memory():
    hidden, state, seconds = example(5, 16, 8, 2, 8, 8)
    module, hidden = Example(*state).eval(), hidden.float()

    def write(given, state, elapsed):
        return module.write_step(given.operations, given, state, elapsed)

    program = Program(module, write, 16, state, True)
    inputs = {"hidden": hidden.data_ptr(), "seconds": seconds.data_ptr()}
    found, after = program.run(5, floats(state), **inputs)
    given = floats(state)
    again, same = program.run(5, given, overwrite=True, **inputs)
    assert torch.equal(again, found)
    assert all(map(torch.equal, same, after))
    assert all(one is other for one, other in zip(same, given, strict=True))
    zeros = torch.zeros(5, 2, 8, 8)
    shared = given[0], zeros.view(5, 8, 16), zeros, *given[3:]
    expected = program.run(5, shared, **inputs)
    found, after = program.run(5, shared, overwrite=True, **inputs)
    assert torch.equal(found, expected[0])
    assert not bool(zeros.any())


@pytest.mark.usefixtures("native")
def test_a_user_gets_the_same_bits_in_any_batch_and_at_any_number_of_threads():
    hidden, state, seconds = example(50, 70, 33, 2, 24, 40)
    module, hidden, state = Example(*state).eval(), hidden.float(), floats(state)
    threads, runs = torch.get_num_threads(), []
    try:
        with torch.no_grad():
            for count in (1, 1, 2, 3):
                torch.set_num_threads(count)
                runs.append(leaves(native_step(module, hidden, state, seconds)))
            for first in range(50):
                row = slice(first, first + 1)
                own = tuple(tensor[row] for tensor in state)
                alone = leaves(native_step(module, hidden[row], own, seconds[row]))
                assert all(torch.equal(a, b[row]) for a, b in zip(alone, runs[0], strict=True))
    finally:
        torch.set_num_threads(threads)
    for one, other in pairwise(runs):
        assert all(map(torch.equal, one, other))


@pytest.fixture
def counted(monkeypatch, native):
    """How often programs were recorded."""
    recorded = []
    make = compiled_step.Program

    def count(*arguments):
        recorded.append(arguments)
        return make(*arguments)

    monkeypatch.setattr(compiled_step, "Program", count)
    return recorded


class Block(nn.Module):
    """A step whose weights change in all ways that PyTorch has."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)
        self.taps = nn.Conv1d(6, 6, 3, groups=6)
        self.drop = nn.Dropout(0.5)
        self.step = CompiledStep()

    def write_step(self, operations, hidden, state, elapsed):
        x, state = operations.convolution(operations.linear(hidden, self.inner), state, self.taps)
        return operations.dropout(x, self.drop), state


def follow(block, seed=0, users=2):
    """The step by both backends, which must agree."""
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(users, 6, generator=draw)
    state = torch.randn(users, 2, 6, generator=draw)
    with torch.no_grad():
        found = block.step(block, hidden, state, None)
        expected = torch_step(block, hidden, state, None)
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


def train_once(block):
    optimizer = torch.optim.AdamW(block.parameters(), lr=0.1)
    block.inner(torch.randn(3, 6)).square().sum().backward()
    block.taps(torch.randn(2, 6, 5)).square().sum().backward()
    optimizer.step()


def replace_data(block):
    for parameter in block.parameters():
        parameter.data = torch.randn_like(parameter)


def edit_data(block):
    for parameter in block.parameters():
        # This changes neither the address nor the version of the parameter.
        parameter.data.normal_()


def edit_by_numpy(block):
    for parameter in block.parameters():
        parameter.detach().numpy()[...] *= 2


def replace_parameters(block):
    block.inner.weight = nn.Parameter(torch.randn(6, 6))
    block.taps.bias = nn.Parameter(torch.randn(6))


def replace_module(block):
    block.inner = nn.Linear(6, 6)
    block.taps = nn.Conv1d(6, 6, 3, groups=6)


def load_others(block):
    block.load_state_dict(Block().state_dict())


CHANGES = [
    *(train_once, replace_data, edit_data, edit_by_numpy),
    *(replace_parameters, replace_module, load_others),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_weights_that_change_are_never_missed(change, counted):
    torch.manual_seed(0)
    block = Block().eval()
    follow(block)
    for _ in range(3):
        change(block)
        follow(block)
        follow(block)
    assert counted


def test_a_program_is_kept_as_long_as_the_weights(counted):
    block = Block().eval()
    for seed in range(5):
        follow(block, seed, users=1 + seed)
    assert len(counted) == 1
    with torch.no_grad():
        block.inner.weight.mul_(2)
    follow(block)
    assert len(counted) == 1
    with torch.no_grad():
        block.taps.weight.mul_(2)
    for _ in range(3):
        follow(block)
    # Transposed weights are made once more, after the step that notices.
    assert len(counted) == 2


def test_what_the_kernels_cannot_take_is_left_to_pytorch(counted, monkeypatch):
    block = Block().eval()
    hidden, state = torch.randn(2, 6), torch.zeros(2, 2, 6)
    assert block.step(block, hidden, state, None)[0].requires_grad
    with torch.no_grad():
        double = block.double().step(block, hidden.double(), state.double(), None)
        assert double[0].dtype == torch.float64
        block.float()
        with torch.autocast("cpu", torch.bfloat16):
            block.step(block, hidden, state, None)
        monkeypatch.setenv(backends.VARIABLE, "torch")
        block.step(block, hidden, state, None)
        monkeypatch.delenv(backends.VARIABLE)
        assert not counted
        block.train()
        dropped = block.step(block, hidden, state, None)[0]
        assert bool((dropped == 0).any())
        block.eval()
        with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
            block.step(block, hidden, state[:, :, :3], None)
        counted.clear()
        follow(block)
    assert len(counted) == 0, "the program was recorded before and is still there"


def test_a_step_that_computes_with_tensors_is_left_to_pytorch(counted):
    class Other(Block):
        def write_step(self, operations, hidden, state, elapsed):
            return torch.tanh(operations.linear(hidden, self.inner)), state

    other = Other().eval()
    for _ in range(3):
        follow(other)
    assert len(counted) == 1


def test_a_layer_with_another_type_is_left_to_pytorch(counted):
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    block = Block().eval()
    follow(block)
    block.inner = Doubled(6, 6)
    follow(block)


def test_copies_have_programs_of_their_own(counted):
    block = Block().eval()
    follow(block)
    for other in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        edit_data(other)
        follow(other)
    follow(block)
    assert len(counted) == 3


def test_several_threads(native):
    torch.manual_seed(0)
    model = seqzoo.create("ssd4rec", num_items=50, hidden_size=32).eval()
    expected = model.session()
    for item in ("3", "7", "9", "7"):
        expected.observe(item)
    found = []

    def stream():
        for _ in range(20):
            session = model.session()
            for item in ("3", "7", "9", "7"):
                session.observe(item)
            found.append(session.hidden)

    workers = [threading.Thread(target=stream) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 80
    assert all(torch.equal(hidden, expected.hidden) for hidden in found)


STREAMING = {
    "mamba4rec": [{}, {"num_layers": 3, "hidden_size": 24}, {"embedding_norm": "none"}],
    "ssd4rec": [{}, {"num_layers": 1, "activation": "silu"}],
    "lrurec": [{}, {"num_layers": 1, "hidden_size": 24}],
    "gru4rec": [{}, {"num_layers": 2, "gru_size": 37}],
    "tim4rec": [{}, {"hidden_size": 24, "head_size": 12, "state_size": 7}, {"time_mode": "off"}],
}


@pytest.mark.parametrize(
    ("name", "settings"),
    [(name, settings) for name, several in STREAMING.items() for settings in several],
    ids=str,
)
@pytest.mark.parametrize("timed", [True, False])
def test_sessions_of_whole_models(name, settings, timed, counted):
    """A program for items, against a session in float64; one event at a time and many together."""
    torch.manual_seed(0)
    model = seqzoo.create(name, num_items=60, **settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    exact, session, many = (
        copy.deepcopy(model).double().session(),
        model.session(),
        model.sessions(),
    )
    for event in range(40):
        item, time = str(1 + event * 7 % 60), event * event * 50 if timed else None
        exact.observe(item, time)
        session.observe(item, time)
        # The others are one item further.
        others = [(f"u{n}", str(1 + (event * 7 + n) % 60), time) for n in range(3)]
        many.observe(others if timed else [other[:2] for other in others])
    difference = (session.hidden - exact.hidden).abs().max() / exact.hidden.abs().max()
    assert difference < 2e-6
    assert torch.equal(many.states_of("u0")["hidden"][0], session.hidden)
    assert len(counted) == 1


def test_training_a_model_between_events(counted):
    torch.manual_seed(0)
    model = seqzoo.create("mamba4rec", num_items=60, hidden_size=16).eval()
    events = [("3", 1), ("9", 5), ("12", 7)]
    model.session().observe("5")
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    for _ in range(3):
        batch = seqzoo.interfaces.SequenceBatch.from_histories([[3, 9, 12]])
        model.head.loss(model(batch).flatten(0, 1), torch.tensor([9, 12, 4])).backward()
        optimizer.step()
        optimizer.zero_grad()
        # In training mode, too: a session is always in evaluation mode.
        session = model.session()
        for item, _ in events:
            session.observe(item)
        whole = model.encode([[item for item, _ in events]])
        torch.testing.assert_close(session.hidden, whole[0], rtol=1e-4, atol=1e-5)
    assert model.training


def test_an_embedder_of_a_plugin_keeps_its_own_step(counted):
    """A subclass may embed in another way; only the backbone is compiled then."""
    torch.manual_seed(0)
    model = seqzoo.create("mamba4rec", num_items=60, hidden_size=16).eval()

    class Shifted(type(model.embedder)):
        def look_up(self, items):
            return super().look_up(items) + 1.0

    model.embedder.__class__ = Shifted
    session = model.session()
    for item in ("3", "9", "12"):
        session.observe(item)
    whole = model.encode([["3", "9", "12"]])
    torch.testing.assert_close(session.hidden, whole[0], rtol=1e-4, atol=1e-5)
    assert len(counted) == 2
