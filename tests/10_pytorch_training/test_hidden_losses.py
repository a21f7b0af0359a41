"""The binary loss, counting right answers, the multi-layer perceptron, and the plan of learning rates."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from autograder.checking import assert_close, assert_stable, assert_unchanged, fail


def draw_binary(rng, N, scale=2.0):
    """Logits (N, 1) in float64 and labels (N,), of both kinds where there are two."""
    labels = rng.permutation(np.arange(N) % 2)
    return torch.tensor(rng.normal(scale=scale, size=(N, 1))), torch.tensor(labels)


@pytest.mark.question("binary_loss", weight=2)
def test_binary_loss_values(student, reference, rng):
    """The loss is the mean binary cross-entropy, a single number, for batches of any size."""
    for N in (2, 7, 64, 1):
        logits, labels = draw_binary(rng, N)
        loss = assert_unchanged(student.binary_loss, logits, labels)
        hint = "The mean over N examples; logits (N, 1) and labels (N,) must not broadcast to (N, N)."
        assert_close(loss, reference.binary_loss(logits, labels), what=f"the loss of {N} examples", hint=hint)


@pytest.mark.question("binary_loss", weight=2)
def test_binary_loss_gradient(student, rng):
    """The gradient with respect to the logits is (p - y) / N."""
    gradient = student.value("torch").func.grad(student.value("binary_loss"))
    for N in (1, 6):
        logits, labels = draw_binary(rng, N)
        expected = (1 / (1 + np.exp(-logits.numpy())) - labels.numpy()[:, None]) / N
        hint = "The loss must be computed with operations of torch, from the logits as they are."
        assert_close(gradient(logits, labels), expected, rtol=1e-6, what="the gradient", hint=hint)


@pytest.mark.question("binary_loss")
def test_binary_loss_stable(student):
    """Logits of hundreds give the right loss, and no infinity."""
    logits = torch.tensor([[800.0], [-800.0], [300.0], [0.0]], dtype=torch.float64)
    for labels, expected in (
        ([1, 0, 1, 0], math.log(2) / 4),
        ([0, 1, 0, 1], (1900 + math.log(2)) / 4),
    ):
        loss = student.binary_loss(logits, torch.tensor(labels))
        hint = "log(sigmoid(z)) is -inf for large negative z: use a form that takes logits."
        assert_stable(loss, expected, what="the loss", hint=hint)


@pytest.mark.question("binary_loss")
def test_binary_loss_float32(student, reference, rng):
    """Logits in float32, as a network gives them, and labels in int64, as a loader gives them."""
    logits, labels = draw_binary(rng, 12)
    loss = student.binary_loss(logits.float(), labels)
    assert_close(loss, reference.binary_loss(logits, labels), rtol=1e-4, atol=1e-5, what="the loss")


# --- right answers
@pytest.mark.question("num_correct", weight=2)
def test_num_correct_classes(student, rng):
    """With K logits the largest one is the answer, for batches of any size."""
    for N, K in ((9, 4), (30, 2), (1, 5), (5, 10)):
        logits = torch.tensor(rng.normal(size=(N, K)))
        labels = logits.argmax(dim=1)
        wrong = torch.tensor(rng.random(N) < 0.4)
        labels[wrong] = (labels[wrong] + torch.tensor(rng.integers(1, K, size=int(wrong.sum())))) % K
        count = assert_unchanged(student.num_correct, logits, labels)
        assert_close(count, N - int(wrong.sum()), what=f"the right ones of {N} with {K} classes")


@pytest.mark.question("num_correct", weight=2)
def test_num_correct_one_logit(student, rng):
    """With one logit the answer is class 1 where it is positive, and class 0 where it is negative."""
    for N in (12, 7, 1):
        size = rng.uniform(0.05, 0.95, size=(N, 1))  # between 0 and 1, where sigmoids and thresholds differ
        labels = rng.integers(0, 2, size=N)
        right = rng.random(N) < 0.6
        sign = np.where(right == (labels == 1), 1.0, -1.0)[:, None]
        logits = torch.tensor((sign * size).astype(np.float32))
        count = student.num_correct(logits, torch.tensor(labels))
        hint = "The sigmoid of 0 is 1/2: compare the logit with 0. Shapes (N, 1) and (N,) must not broadcast."
        assert_close(count, int(right.sum()), what=f"the right ones of {N} with one logit", hint=hint)


@pytest.mark.question("num_correct")
def test_num_correct_all_or_none(student):
    """All right is N, none right is 0, and large logits are logits."""
    logits = torch.tensor([[50.0, -50.0, 0.0], [-9.0, -8.0, -7.0]])
    assert_close(student.num_correct(logits, torch.tensor([0, 2])), 2, what="two right answers")
    assert_close(student.num_correct(logits, torch.tensor([1, 0])), 0, what="no right answer")
    one = torch.tensor([[-30.0], [40.0]])
    assert_close(student.num_correct(one, torch.tensor([0, 1])), 2, what="two right answers of one logit")
    assert_close(student.num_correct(one, torch.tensor([1, 0])), 0, what="no right answer of one logit")


# --- the network
SIZES = [(6, 5, 4, 3), (4, 3), (5, 7, 2), (3, 8, 6, 5, 4, 2), (4, 6, 1)]


def set_weights(student, model, sizes, rng, scale=1.0):
    """Put random weights in float64 into the model: a list of (weight, bias), from the inputs on."""
    model.double()
    state = student.builtin("dict", model.state_dict())
    shapes = [shape for a, b in pairwise(sizes) for shape in ((b, a), (b,))]
    found = {tuple(value.shape): name for name, value in state.items()}
    if sorted(tuple(value.shape) for value in state.values()) != sorted(shapes):
        fail(
            "The network has other parameters than its sizes say.",
            expected=f"weights and biases of the shapes {shapes}",
            got=f"{[tuple(value.shape) for value in state.values()]}",
            hint="One nn.Linear from each size to the next.",
        )
    arrays = {shape: rng.normal(scale=scale, size=shape) for shape in shapes}
    model.load_state_dict({found[shape]: torch.tensor(array) for shape, array in arrays.items()})
    return [(arrays[b, a], arrays[b,]) for a, b in pairwise(sizes)]


def apply(layers, x):
    """The network's output in NumPy."""
    for number, (weight, bias) in enumerate(layers):
        x = x.reshape(len(x), -1) @ weight.T + bias
        if number < len(layers) - 1:
            x = np.maximum(x, 0)
    return x


@pytest.mark.question("build_mlp", weight=3)
def test_build_mlp_values(student, rng):
    """With given weights the output is that of linear layers with a ReLU between two of them."""
    for sizes in SIZES:
        model = student.build_mlp(sizes)
        layers = set_weights(student, model, sizes, rng)
        model.eval()
        x = rng.normal(size=(5, sizes[0]))
        hint = "ReLU after each linear layer but the last, whose output is the logits."
        assert_close(
            model(torch.tensor(x)), apply(layers, x), what=f"the output for sizes {sizes}", hint=hint
        )


@pytest.mark.question("build_mlp")
def test_build_mlp_images(student, rng):
    """Images with channels, and a batch of one, are laid out as rows first."""
    sizes = (12, 5, 3)
    for shape in ((4, 1, 3, 4), (1, 1, 2, 6), (2, 3, 2, 2)):
        model = student.build_mlp(list(sizes))
        layers = set_weights(student, model, sizes, rng)
        model.eval()
        x = rng.normal(size=shape)
        assert_close(model(torch.tensor(x)), apply(layers, x), what=f"the output for x of shape {shape}")


@pytest.mark.question("build_mlp")
def test_build_mlp_eval(student, rng):
    """In eval mode nothing is dropped, whatever the probability."""
    sizes = (6, 9, 7, 3)
    for dropout in (0.3, 0.9):
        model = student.build_mlp(sizes, dropout)
        layers = set_weights(student, model, sizes, rng)
        model.eval()
        x = rng.normal(size=(4, 6))
        assert_close(model(torch.tensor(x)), apply(layers, x), what=f"the output with dropout {dropout}")


@pytest.mark.question("build_mlp", weight=2)
def test_build_mlp_dropout(student, rng):
    """In training each hidden layer is dropped with the given probability, inputs and outputs are not."""
    sizes, rows = (2, 1, 1, 1), 600
    # One unit in each hidden layer: four things can happen to an example, and each has its own output.
    weights = [np.array([[1.0, 2.0]]), np.array([[0.5]]), np.array([[2.0]])]
    biases = [np.array([0.25]), np.array([0.75]), np.array([-4.0])]
    for p in (0.2, 0.6):
        model = student.build_mlp(sizes, p)
        model.double()
        state = student.builtin("dict", model.state_dict())
        arrays = [array for pair in zip(weights, biases, strict=True) for array in pair]
        names = [name for name, value in state.items() if value.ndim in (1, 2)]
        if len(names) != 6:
            fail("The network has other parameters than its sizes say.", got=str(list(state)))
        # Layers in the order of their names, as PyTorch lists them; weights are (out, in), biases (out,).
        matrices = [name for name in names if state[name].ndim == 2]
        vectors = [name for name in names if state[name].ndim == 1]
        first = next(name for name in matrices if state[name].shape[1] == 2)
        if matrices[0] != first:
            matrices, vectors = matrices[::-1], vectors[::-1]
        named = dict(zip(matrices, arrays[::2], strict=True)) | dict(zip(vectors, arrays[1::2], strict=True))
        model.load_state_dict({name: torch.tensor(array) for name, array in named.items()})
        model.train()
        out = model(torch.ones(rows, 2, dtype=torch.float64)).detach().numpy()[:, 0]
        q = 1 - p
        one, none = 0.5 * 3.25 / q + 0.75, 0.75  # the second hidden unit, with and without the first
        cases = {-4 + 2 * one / q: q * q, -4 + 2 * none / q: q * p, -4.0: p}
        for value, chance in cases.items():
            share = float(np.mean(np.abs(out - value) < 1e-6))
            if abs(share - chance) > 6 * math.sqrt(chance * (1 - chance) / rows):
                fail(
                    f"With dropout {p}, {share:.1%} of {rows} outputs are as they should be in "
                    f"{chance:.1%} of all cases.",
                    hint="nn.Dropout(dropout) once after each ReLU, and nowhere else.",
                )
        known = np.min(np.abs(out[:, None] - np.array(list(cases))), axis=1) < 1e-6
        if not known.all():
            fail(
                f"{np.mean(~known):.1%} of the outputs are none that dropout of hidden units can give.",
                hint="nn.Dropout(dropout) after each ReLU; it scales what it keeps by itself.",
            )


# --- rates
def expected_rates(num_epochs, warmup, peak, floor):
    """The definition, epoch by epoch."""
    rates = []
    for epoch in range(num_epochs):
        if epoch < warmup:
            rates.append(peak * (epoch + 1) / warmup)
        else:
            done = (epoch - warmup) / (num_epochs - warmup)
            rates.append(floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * done)))
    return np.array(rates)


PLANS = [(10, 3), (25, 5), (7, 1), (40, 10)]


@pytest.mark.question("warmup_cosine", weight=2)
def test_warmup_cosine_rates(student, rng):
    """Each rate is the one of the formula, for plans of different length."""
    for num_epochs, warmup in PLANS:
        peak = float(rng.uniform(0.01, 2))
        rates = student.warmup_cosine(num_epochs, warmup, peak)
        what = f"the rates of {num_epochs} epochs, {warmup} of them warming up"
        assert_close(as_array(rates), expected_rates(num_epochs, warmup, peak, 0.0), what=what)


@pytest.mark.question("warmup_cosine", weight=2)
def test_warmup_cosine_floor(student, rng):
    """The cosine falls towards the floor; warming up begins at 0 all the same."""
    for num_epochs, warmup in PLANS:
        peak = float(rng.uniform(1, 2))
        floor = float(rng.uniform(0.1, 0.6))
        rates = student.warmup_cosine(num_epochs, warmup, peak, floor)
        hint = "floor + (peak - floor) times a factor that falls from 1 to 0."
        assert_close(
            as_array(rates), expected_rates(num_epochs, warmup, peak, floor), what="the rates", hint=hint
        )


@pytest.mark.question("warmup_cosine")
def test_warmup_cosine_ends(student):
    """Without warming up the first rate is the peak; one epoch alone, or only warming up, will do."""
    for num_epochs, warmup in ((6, 0), (1, 0), (4, 4), (1, 1)):
        rates = student.warmup_cosine(num_epochs, warmup, 0.3, 0.06)
        what = f"the rates of {num_epochs} epochs, {warmup} of them warming up"
        assert_close(as_array(rates), expected_rates(num_epochs, warmup, 0.3, 0.06), what=what)


def as_array(rates):
    """An array, also of a list of numbers."""
    return np.array(rates, dtype=float) if isinstance(rates, list | tuple) else rates
