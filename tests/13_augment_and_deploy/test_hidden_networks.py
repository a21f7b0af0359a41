"""The two networks, and answers in batches.

A network is compared with the reference's by giving both the same random weights, found by their shapes, in
float64.
"""

import numpy as np
import pytest
import torch

from autograder.checking import assert_close, fail

K = 3


def random_state(rng, state):
    """Random values for a state dict, of a kind that each may have."""
    filled = {}
    for name, tensor in state.items():
        shape = tuple(tensor.shape)
        if not tensor.is_floating_point():
            filled[name] = tensor
        elif name.endswith("running_var"):
            filled[name] = torch.tensor(rng.uniform(0.5, 2, size=shape))
        else:
            filled[name] = torch.tensor(rng.normal(scale=0.5, size=shape))
    return filled


def key(name, tensor):
    """A parameter's name in its own layer, and its shape: no two agree where all widths are distinct."""
    return name.rpartition(".")[2], tuple(tensor.shape)


def fill(student, theirs, ours, state, hint):
    """Give the student's network and the reference's the same state."""
    ours.load_state_dict(state)
    values = {key(name, tensor): tensor for name, tensor in state.items() if tensor.ndim}
    names = student.builtin("dict", theirs.state_dict())
    if sorted(key(name, tensor) for name, tensor in names.items() if tensor.ndim) != sorted(values):
        fail(
            "The network has other parameters than its layers say.",
            expected=", ".join(f"{name} {shape}" for name, shape in sorted(values)),
            got=", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in names.items()),
            hint=hint,
        )
    theirs.load_state_dict({name: values.get(key(name, tensor), tensor) for name, tensor in names.items()})
    student.value("torch").manual_seed(1)  # see reseed


def reseed(student, rng):
    """What the student's code draws must not depend on what was drawn here, where torch may be the same."""
    student.value("torch").manual_seed(int(rng.integers(2**31)))


def drawn_anew(student, make):
    """Two networks begin with other weights."""
    first, second = (student.builtin("dict", make().state_dict()) for _ in range(2))
    if all(torch.equal(first[name], second[name]) for name in first if first[name].ndim > 1):
        fail("Two networks have the same weights: each should be drawn anew.")


# --- build_dense
DENSE = "For each hidden layer a Linear and a ReLU, in the end a Linear."


def both_dense(student, reference, rng, hidden, size):
    """The student's and the reference's dense network with the same weights."""
    theirs = student.build_dense(K, hidden, size).double()
    ours = reference.build_dense(K, hidden, size).double()
    fill(student, theirs, ours, random_state(rng, ours.state_dict()), DENSE)
    return theirs, ours


@pytest.mark.question("build_dense", weight=2)
def test_build_dense_values(student, reference, rng):
    """With given weights the logits are those of the layers, for no, one and three hidden layers."""
    for hidden, size in (((5,), 4), ((), 3), ([7, 5, 4], 2), ((6, 5), 5)):
        theirs, ours = both_dense(student, reference, rng, hidden, size)
        for N in (1, 4):
            x = torch.tensor(rng.normal(size=(N, 3, size, size)))
            what = f"the logits with {hidden} hidden, {N} pictures"
            assert_close(theirs(x), ours(x).detach().numpy(), rtol=1e-6, atol=1e-8, what=what, hint=DENSE)


@pytest.mark.question("build_dense")
def test_build_dense_modes(student, reference, rng):
    """In both modes it computes the same: there is nothing random in it."""
    theirs, ours = both_dense(student, reference, rng, (9, 8), 3)
    x = torch.tensor(rng.normal(size=(6, 3, 3, 3)))
    for mode in (True, False):
        theirs.train(mode)
        reseed(student, rng)
        what = f"the logits with model.training = {mode}"
        assert_close(theirs(x), ours(x).detach().numpy(), rtol=1e-6, atol=1e-8, what=what, hint=DENSE)


@pytest.mark.question("build_dense")
def test_build_dense_defaults(student):
    """By default there are 256 and 128 units, for pictures of 32 x 32; weights are drawn anew each time."""
    state = student.builtin("dict", student.build_dense(7).state_dict())
    shapes = sorted(tuple(tensor.shape) for tensor in state.values())
    expected = sorted([(256, 3072), (256,), (128, 256), (128,), (7, 128), (7,)])
    assert_close([list(shape) for shape in shapes], [list(shape) for shape in expected], what="the shapes")
    drawn_anew(student, lambda: student.build_dense(4, (5,), 3))


# --- build_cnn
CNN = "Convolution, batch normalisation, ReLU, max pooling; then flatten, dropout and a linear layer."


def both_cnn(student, reference, rng, channels, drop, size):
    """The student's and the reference's convolutional network with the same weights."""
    theirs = student.build_cnn(K, channels, drop, size).double()
    ours = reference.build_cnn(K, channels, drop, size).double()
    fill(student, theirs, ours, random_state(rng, ours.state_dict()), CNN)
    return theirs, ours


@pytest.mark.question("build_cnn", weight=3)
def test_build_cnn_values(student, reference, rng):
    """With given weights the logits in eval mode are those of the blocks, for one, two and three of them."""
    for channels, size in (((4, 6), 8), ((5, 2, 7), 12), ([6], 5), ((4, 7), 15), ((2, 4, 5), 11)):
        theirs, ours = both_cnn(student, reference, rng, channels, 0.5, size)
        theirs.eval()
        ours.eval()
        for N in (1, 4):
            x = torch.tensor(rng.normal(size=(N, 3, size, size)))
            what = f"the logits with channels {channels}, size {size}, {N} pictures"
            assert_close(theirs(x), ours(x).detach().numpy(), rtol=1e-6, atol=1e-8, what=what, hint=CNN)


@pytest.mark.question("build_cnn")
def test_build_cnn_training_mode(student, reference, rng):
    """In training mode every block normalises with its batch, and keeps running averages."""
    theirs, ours = both_cnn(student, reference, rng, (4, 6), 0.0, 8)
    x = torch.tensor(rng.normal(size=(5, 3, 8, 8)))
    theirs.train(True)
    expected = ours.train()(x).detach().numpy()
    reseed(student, rng)
    assert_close(theirs(x), expected, rtol=1e-6, atol=1e-8, what="the logits in training mode", hint=CNN)
    theirs.eval()
    expected = ours.eval()(x).detach().numpy()
    what = "the logits in eval mode afterwards"
    assert_close(theirs(x), expected, rtol=1e-6, atol=1e-8, what=what, hint=CNN)


def shown_features(student, reference, model, channels, size):
    """Let a network's features be all 1, and its logits the first few of them."""
    ours = reference.build_cnn(4, channels, 0.0, size)
    state = {}
    for name, tensor in ours.state_dict().items():
        state[name] = torch.zeros_like(tensor)
        if name.endswith("running_var") or (name.endswith("bias") and tensor.shape != (4,)):
            state[name] = torch.ones_like(tensor)  # of a normalisation: the value of every map
        if tensor.ndim == 2:
            state[name] = torch.eye(*tensor.shape)
    fill(student, model, ours, state, CNN)


@pytest.mark.question("build_cnn", weight=2)
def test_build_cnn_dropout(student, reference, rng):
    """The dropout stands in front of the linear layer, and drops with the probability that is given."""
    for drop in (0.5, 0.2):
        model = student.build_cnn(4, (5, 6), drop, 8)
        shown_features(student, reference, model, (5, 6), 8)
        model.eval()
        what = "the logits in eval mode, all features being 1"
        assert_close(model(torch.zeros(2, 3, 8, 8)), np.ones((2, 4)), rtol=1e-5, what=what, hint=CNN)
        model.train(True)
        reseed(student, rng)
        logits = model(torch.zeros(500, 3, 8, 8))
        kept = logits[logits != 0]
        assert_close(
            kept, np.full(len(kept), 1 / (1 - drop)), rtol=1e-5, what="the features that stay", hint=CNN
        )
        dropped = (logits == 0).float()
        mixed = float(((dropped.amax(dim=1) == 1) & (dropped.amin(dim=1) == 0)).float().mean())
        if mixed < 0.3 or dropped.mean(dim=0).max() > 0.9:  # of 4 features by themselves, 0.59 and 0.88
            fail("Features are dropped together.", hint="Each feature of each picture by itself: nn.Dropout.")
        share = 1 - len(kept) / 2000
        # Of 2,000 features, the share has a standard deviation of sqrt(drop (1 - drop) / 2,000) < 0.012.
        if abs(share - drop) > 0.07:
            fail(
                "The dropout drops another share of the features.",
                expected=f"{drop:.0%}", got=f"{share:.0%}", hint="Each feature by itself: nn.Dropout.",
            )  # fmt: skip


@pytest.mark.question("build_cnn")
def test_build_cnn_defaults(student, reference, rng):
    """By default there are 16, 32 and 64 maps, a dropout of 0.3 and a size of 32; weights are drawn anew."""
    model = student.build_cnn(4)
    shown_features(student, reference, model, (16, 32, 64), 32)
    model.train(True)
    reseed(student, rng)
    logits = model(torch.zeros(200, 3, 32, 32))
    kept = logits[logits != 0]
    assert_close(kept, np.full(len(kept), 1 / 0.7), rtol=1e-4, what="the features that stay", hint=CNN)
    if not 0.18 < 1 - len(kept) / 800 < 0.42:
        fail("By default the dropout should drop 30%.", got=f"{1 - len(kept) / 800:.0%}")
    drawn_anew(student, lambda: student.build_cnn(4, (5,), 0.1, 8))


# --- predict
def small_network(nn):
    """A network in which everything depends on the mode."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(80, K),
    ).double()  # fmt: skip


def both_small(student, rng):
    """The same network beside the student's code and here, and pictures for it."""
    theirs, ours = small_network(student.value("torch").nn), small_network(torch.nn)
    state = random_state(rng, ours.state_dict())
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    reseed(student, rng)
    return theirs, ours.eval()


def answers(student, model, pictures, *batch_size):
    """What predict returns, of the right types."""
    result = student.predict(model, pictures, *batch_size)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("predict should return (labels, probabilities).", value=result)
    labels, probabilities = result
    if not isinstance(labels, torch.Tensor) or labels.dtype != torch.int64:
        fail("The labels should be an int64 tensor.", value=labels)
    if not isinstance(probabilities, torch.Tensor) or not probabilities.is_floating_point():
        fail("The probabilities should be a tensor of floats.", value=probabilities)
    return labels, probabilities


def expected_answers(model, pictures):
    """Labels and probabilities by the definition."""
    logits = model(pictures).detach().numpy()
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return logits.argmax(axis=1), p.max(axis=1)


@pytest.mark.question("predict", weight=2)
def test_predict_values(student, rng):
    """For batches of every size, the labels and their probabilities are those of the model in eval mode."""
    theirs, ours = both_small(student, rng)
    for N, batch_size in ((7, 3), (7, 1), (6, 3), (5, 64), (1, 2)):
        pictures = torch.tensor(rng.normal(size=(N, 3, 4, 5)))
        theirs.train(bool(N % 2))
        labels, probabilities = answers(student, theirs, pictures, batch_size)
        expected = expected_answers(ours, pictures)
        what = f"of {N} pictures in batches of {batch_size}"
        assert_close(
            labels, expected[0], what=f"the labels {what}", hint="model.eval(), all batches, in order."
        )
        hint = "The softmax over the classes, in eval mode."
        assert_close(probabilities, expected[1], rtol=1e-6, what=f"the probabilities {what}", hint=hint)


@pytest.mark.question("predict")
def test_predict_one_by_one(student, rng):
    """A batch gives what its pictures give one by one, whoever else is in it."""
    theirs, _ = both_small(student, rng)
    theirs.train(True)
    pictures = torch.tensor(rng.normal(size=(6, 3, 4, 5)) * np.arange(1, 7)[:, None, None, None])
    labels, probabilities = answers(student, theirs, pictures)
    for n in range(6):
        alone = answers(student, theirs, pictures[n : n + 1])
        assert_close(alone[0], labels[n : n + 1].numpy(), what="the label of a picture by itself")
        assert_close(
            alone[1],
            probabilities[n : n + 1].numpy(),
            rtol=1e-6,
            what="the probability of a picture by itself",
        )


@pytest.mark.question("predict")
def test_predict_leaves_the_model(student, rng):
    """The model is in the mode it came in, and its running averages have not moved."""
    theirs, _ = both_small(student, rng)
    before = student.builtin("dict", theirs.state_dict())
    pictures = torch.tensor(rng.normal(size=(5, 3, 4, 5)))
    for mode in (True, False):
        theirs.train(mode)
        answers(student, theirs, pictures, 2)
        assert_close(bool(theirs.training), mode, what="model.training afterwards")
        part = theirs.get_submodule("4")
        assert_close(bool(part.training), mode, what="training of the model's dropout afterwards")
    after = student.builtin("dict", theirs.state_dict())
    for name, tensor in before.items():
        assert_close(after[name], tensor.numpy(), rtol=0, atol=0, what=f"{name} afterwards")


@pytest.mark.question("predict")
def test_predict_batches(student, rng):
    """The model gets batches of the size that was asked for, 64 where none was."""
    nn = student.value("torch").nn
    for size in (4, 64):
        # It takes batches of exactly one size: all of a batch goes into one vector.
        model = nn.Sequential(
            nn.Flatten(0), nn.Unflatten(0, (size, 12)), nn.Linear(12, K).double(),
        )  # fmt: skip
        state = {
            "2.weight": torch.tensor(rng.normal(size=(K, 12))),
            "2.bias": torch.tensor(rng.normal(size=K)),
        }
        model.load_state_dict(state)
        pictures = torch.tensor(rng.normal(size=(3 * size, 3, 2, 2)))
        labels, _ = answers(student, model, pictures, *([size] if size != 64 else []))
        expected = pictures.flatten(1) @ state["2.weight"].T + state["2.bias"]
        assert_close(labels, expected.argmax(dim=1).numpy(), what=f"the labels in batches of {size}")


@pytest.mark.question("predict")
def test_predict_without_gradients(student, rng):
    """No trace for a backward pass is kept, which would take the memory of all batches."""
    theirs, _ = both_small(student, rng)
    result = student.predict.keeping(1)(theirs, torch.tensor(rng.normal(size=(3, 3, 4, 5))), 2)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("predict should return (labels, probabilities).", value=result)
    if result[1].requires_grad:
        fail("The probabilities require gradients.", hint="with torch.no_grad(), or torch.inference_mode().")
