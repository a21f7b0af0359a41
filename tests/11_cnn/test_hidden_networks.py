"""The convolutional network, the training loop, and a network of the student's own.

What a student's code trains is made twice: of torch beside it and of torch here, with the same weights.
"""

import numpy as np
import pytest
import torch

from autograder.checking import assert_accuracy, assert_close, disguise, fail

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


# --- build_cnn
def the_same(student, reference, rng, channels, pool, in_channels):
    """The student's network and the reference's in float64, with the same random weights."""
    # What the student's function draws must not depend on what was drawn here, where torch may be the same.
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    theirs = student.build_cnn(channels, K, pool, in_channels).double()
    ours = reference.build_cnn(channels, K, pool, in_channels).double()
    state = random_state(rng, ours.state_dict())
    ours.load_state_dict(state)
    values = weights_of(state)
    names = student.builtin("dict", theirs.state_dict())
    if sorted(key(name, tensor) for name, tensor in names.items() if tensor.ndim) != sorted(values):
        fail(
            f"The network for the channels {channels} has other parameters than its blocks say.",
            expected=", ".join(f"{name} {shape}" for name, shape in sorted(values)),
            got=", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in names.items()),
            hint="For each block a Conv2d without bias and a BatchNorm2d, in the end a Linear.",
        )
    theirs.load_state_dict({name: values.get(key(name, tensor), tensor) for name, tensor in names.items()})
    return theirs, ours


def weights_of(state):
    """Key -> parameter or buffer; the counters of batches are left out."""
    return {key(name, tensor): tensor for name, tensor in state.items() if tensor.ndim}


def key(name, tensor):
    """A parameter's name in its own layer, and its shape: no two agree where the channels are distinct."""
    return name.rpartition(".")[2], tuple(tensor.shape)


SHAPES = [((4, 6), 1, (8, 8)), ((5, 2, 7), 3, (9, 12)), ((6,), 2, (5, 4))]
HINT = "Convolution, batch normalisation, ReLU, max pooling; in the last block the global pooling instead."


@pytest.mark.question("build_cnn", weight=3)
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_build_cnn_values(student, reference, rng, pool):
    """With given weights the logits are those of the blocks, for one, two and three of them."""
    for channels, in_channels, size in SHAPES:
        theirs, ours = the_same(student, reference, rng, channels, pool, in_channels)
        x = torch.tensor(rng.normal(size=(3, in_channels, *size)))
        theirs.eval()
        expected = ours.eval()(x).detach().numpy()
        what = f"the logits with channels {channels} and pool {pool!r}"
        assert_close(theirs(x), expected, rtol=1e-6, atol=1e-8, what=what, hint=HINT)


@pytest.mark.question("build_cnn")
def test_build_cnn_training_mode(student, reference, rng):
    """In training mode every block normalises with its batch, and keeps running averages."""
    theirs, ours = the_same(student, reference, rng, (4, 6), "mean", 1)
    x = torch.tensor(rng.normal(size=(4, 1, 8, 6)))
    theirs.train(True)
    expected = ours.train()(x).detach().numpy()
    assert_close(theirs(x), expected, rtol=1e-6, atol=1e-8, what="the logits in training mode", hint=HINT)
    theirs.eval()
    expected = ours.eval()(x).detach().numpy()
    assert_close(
        theirs(x), expected, rtol=1e-6, atol=1e-8, what="the logits in eval mode afterwards", hint=HINT
    )


@pytest.mark.question("build_cnn")
def test_build_cnn_any_size(student, reference, rng):
    """The same network takes images of any size, and a batch of one."""
    for pool in ("mean", "max"):
        theirs, ours = the_same(student, reference, rng, (4, 6), pool, 1)
        theirs.eval()
        ours.eval()
        for shape in ((1, 1, 5, 7), (2, 1, 16, 11), (1, 1, 2, 2)):
            x = torch.tensor(rng.normal(size=shape))
            what = f"the logits of images {shape[2:]}"
            assert_close(theirs(x), ours(x).detach().numpy(), rtol=1e-6, atol=1e-8, what=what, hint=HINT)


@pytest.mark.question("build_cnn")
def test_build_cnn_defaults(student, reference):
    """By default images are grey and the global pooling is a mean; two networks begin with other weights."""
    model = student.build_cnn([4, 6], 5)
    model.eval()
    # Far from the border a mean over a larger image of a single grey stays the same, and so does a maximum;
    # over one of which a quarter is white it does not.
    x = torch.zeros(2, 1, 32, 32)
    x[1, :, :16, :16] = 1
    theirs = student.builtin("dict", model.state_dict())
    ours = reference.build_cnn([4, 6], 5, "mean", 1)
    values = weights_of(theirs)
    state = {
        name: values.get(key(name, tensor)) if tensor.ndim else tensor
        for name, tensor in ours.state_dict().items()
    }
    if any(tensor is None for tensor in state.values()):
        fail("The network has other parameters than its blocks say.", hint=HINT)
    ours.load_state_dict(state)
    expected = ours.eval()(x).detach().numpy()
    assert_close(model(x), expected, rtol=1e-4, atol=1e-5, what="the logits with the defaults", hint=HINT)
    other = student.builtin("dict", student.build_cnn([4, 6], 5).state_dict())
    if all(torch.equal(theirs[name], other[name]) for name in theirs):
        fail("Two networks have the same weights: each should be drawn anew.")


# --- train
def loader_of(there, x, y, batch_size):
    """The examples in their order."""
    data = there.utils.data
    return data.DataLoader(data.TensorDataset(x, y), batch_size=batch_size)


def problem(student, rng, *, N=11, num_val=7, batch_size=4, make=None):
    """(theirs, ours): model, train_loader, val_loader. With the same weights, in float64."""
    x, y = torch.tensor(rng.normal(size=(N, 1, 2, 3))), torch.tensor(rng.integers(0, K, size=N))
    x_val, y_val = (
        torch.tensor(rng.normal(size=(num_val, 1, 2, 3))),
        torch.tensor(rng.integers(0, K, size=num_val)),
    )

    def network(nn):
        layers = nn.Flatten(), nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, K)
        return nn.Sequential(*layers).double()

    sides = []
    for there in (student.value("torch"), torch):
        model = (make or network)(there.nn)
        sides.append((model, loader_of(there, x, y, batch_size), loader_of(there, x_val, y_val, batch_size)))
    theirs, ours = sides
    state = random_state(rng, ours[0].state_dict())
    ours[0].load_state_dict(state)
    theirs[0].load_state_dict(state)
    # What the student's function draws must not depend on what was drawn here, where torch may be the same.
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    return theirs, ours


def entry(history, name):
    """A list of the history."""
    if not isinstance(history, dict) or name not in history:
        fail(f"train should return a dict with {name!r}.", value=history)
    return history[name]


def check_states(student, theirs, ours, what, hint=""):
    """Both models have the same parameters and buffers."""
    got = {name: tensor.numpy() for name, tensor in student.builtin("dict", theirs.state_dict()).items()}
    expected = {name: tensor.numpy() for name, tensor in ours.state_dict().items()}
    assert_close(got, expected, rtol=1e-5, atol=1e-7, what=what, hint=hint)


@pytest.mark.question("train", weight=3)
def test_train_steps(student, reference, rng):
    """Three epochs leave the model as Adam with these learning rates and one step for each batch does."""
    theirs, ours = problem(student, rng)
    rates = rng.uniform(0.01, 0.1, size=3).tolist()
    student.train(*theirs, rates)
    reference.train(*ours, rates)
    hint = "Adam as it is by default; the rate of the epoch in all its groups; zero_grad, backward, step."
    check_states(student, theirs[0], ours[0], "the model after three epochs", hint)


@pytest.mark.question("train", weight=2)
def test_train_history(student, reference, rng):
    """For each epoch the mean loss of the training examples and the share of right validation answers."""
    for N, num_val, batch_size in ((10, 7, 4), (8, 5, 8)):
        theirs, ours = problem(student, rng, N=N, num_val=num_val, batch_size=batch_size)
        rates = [0.05, 0.02]
        history = student.train(*theirs, rates)
        expected = reference.train(*ours, rates)
        hint = "Weight each batch with its number of examples; the last one is short."
        got = entry(history, "train_loss")
        assert_close(got, expected["train_loss"], rtol=1e-5, what='history["train_loss"]', hint=hint)
        got = entry(history, "val_accuracy")
        assert_close(got, expected["val_accuracy"], what='history["val_accuracy"]', hint=hint)


@pytest.mark.question("train", weight=2)
def test_train_modes(student, reference, rng):
    """Dropout drops in every epoch of training and never in validation; whatever mode the model came in."""

    def make(nn):
        return nn.Sequential(nn.Flatten(), nn.Dropout(1.0), nn.Linear(6, K)).double()

    for mode in (True, False):
        theirs, ours = problem(student, rng, make=make)
        theirs[0].train(mode)
        before = student.builtin("dict", theirs[0].state_dict())
        history = student.train(*theirs, [0.1, 0.1, 0.1])
        expected = reference.train(*ours, [0.1, 0.1, 0.1])
        after = student.builtin("dict", theirs[0].state_dict())
        hint = "model.train() before each epoch of training, model.eval() before each validation."
        what = "the weights behind a dropout of everything"
        assert_close(after["2.weight"], before["2.weight"].numpy(), rtol=0, atol=0, what=what, hint=hint)
        got = entry(history, "val_accuracy")
        assert_close(got, expected["val_accuracy"], what='history["val_accuracy"]', hint=hint)
        check_states(student, theirs[0], ours[0], "the model after three epochs", hint)


@pytest.mark.question("train", weight=3)
@pytest.mark.parametrize("name", ["neg", "exp", "flip"])
def test_train_augments(student, reference, rng, name):
    """augment changes each batch of training images once, and no validation image."""
    theirs, ours = problem(student, rng, N=12, num_val=40, batch_size=5)
    there = student.value("torch")
    # flip turns whole batches round, too: the labels stay where they are.
    augments = [
        student.partial(there.flip, dims=[0, 3]) if name == "flip" else getattr(there, name),
        (lambda images: torch.flip(images, dims=[0, 3])) if name == "flip" else getattr(torch, name),
    ]
    rates = [0.1, 0.1]
    history = student.train(*theirs, rates, augments[0])
    expected = reference.train(*ours, rates, augments[1])
    hint = "images = augment(images) in the training loop, once for each batch, and nowhere else."
    check_states(student, theirs[0], ours[0], f"the model after training with torch.{name} as augment", hint)
    got = entry(history, "val_accuracy")
    assert_close(got, expected["val_accuracy"], what='history["val_accuracy"]', hint=hint)


@pytest.mark.question("train")
def test_train_rates(student, reference, rng):
    """Each epoch has its own learning rate: with a rate of 0 nothing moves but running averages."""
    theirs, ours = problem(student, rng)
    before = student.builtin("dict", theirs[0].state_dict())
    student.train(*theirs, [0.0])
    after = student.builtin("dict", theirs[0].state_dict())
    for name in ("1.weight", "1.bias", "4.weight", "4.bias"):
        assert_close(after[name], before[name].numpy(), rtol=0, atol=0, what=f"{name} after a rate of 0")
    student.train(*theirs, np.array([0.0, 0.05]))
    reference.train(*ours, [0.0])
    reference.train(*ours, [0.0, 0.05])
    check_states(student, theirs[0], ours[0], "the model after rates of 0 and 0.05", "rates[e] in epoch e.")


@pytest.mark.question("train")
def test_train_frozen(student, reference, rng):
    """What requires no gradient stays as it is, bit for bit, and the rest is trained."""
    theirs, ours = problem(student, rng)
    for model in (theirs[0], ours[0]):
        model.get_submodule("1").requires_grad_(False)
    before = ours[0].state_dict()["1.weight"].numpy().copy()
    student.train(*theirs, [0.1, 0.1])
    reference.train(*ours, [0.1, 0.1])
    after = student.builtin("dict", theirs[0].state_dict())
    assert_close(after["1.weight"], before, rtol=0, atol=0, what="the frozen weights")
    check_states(student, theirs[0], ours[0], "the model")


# --- a network of one's own
def logits_of(model, x):
    """Logits of images (N, H, W) in eval mode."""
    model.eval()
    logits = model(torch.tensor(np.asarray(x, dtype=np.float32))[:, None])
    if not isinstance(logits, torch.Tensor):
        fail("The model should give a tensor of logits.", value=logits)
    return logits.detach().numpy()


@pytest.mark.question("digit_cnn", weight=4)
def test_digit_cnn_accuracy(student, rng, data):
    """Trained on 700 handwritten digits, it reads nearly all of 1,000 others."""
    digits = data("mnist5000")
    some = rng.permutation(len(digits.x_train))[:700]
    x, y, classes = disguise(digits.x_train[some], digits.y_train[some], rng, shift=1)
    x_test, y_test, _ = disguise(digits.x_test, digits.y_test, rng, shift=1, permutation=classes)
    x, x_test = (np.clip(images, 0, 1).astype(np.float32) for images in (x, x_test))
    model = student.digit_cnn(x, y, int(rng.integers(1000)))
    count = sum(parameter.numel() for parameter in student.builtin("list", model.parameters()))
    if count > 100_000:
        fail(f"The model has {count:,} parameters.", expected="at most 100,000", got=f"{count:,}")
    predictions = logits_of(model, x_test).argmax(axis=1)
    hint = "Convolutions, and small random shifts of the training images."
    assert_accuracy(predictions, y_test, 0.9, what="accuracy on unseen digits", hint=hint)


@pytest.mark.question("digit_cnn")
def test_digit_cnn_shapes(student, rng):
    """Any number of classes and other sizes of image; a batch gives what its images give one by one."""
    x = rng.random(size=(80, 20, 24)).astype(np.float32)
    y = rng.permutation(np.arange(80) % 4)
    model = student.digit_cnn(x, y, 3)
    together = logits_of(model, x[:5])
    assert_close(list(together.shape), [5, 4], what="the shape of the logits of five images, four classes")
    for n in range(5):
        hint = "In eval mode an image's logits must not depend on the other images of its batch."
        alone = logits_of(model, x[n : n + 1])[0]
        what = "the logits of an image by itself"
        assert_close(alone, together[n], rtol=1e-3, atol=1e-4, what=what, hint=hint)


@pytest.mark.question("digit_cnn")
def test_digit_cnn_seed(student, rng):
    """Equal seeds give equal models, bit for bit; another seed gives another one."""
    x = rng.random(size=(64, 16, 16)).astype(np.float32)
    y = rng.permutation(np.arange(64) % 3)
    first, again, other = (logits_of(student.digit_cnn(x, y, seed), x[:9]) for seed in (1, 1, 2))
    hint = "torch.manual_seed(seed) first; whatever else draws random numbers needs the seed as well."
    assert_close(again, first, rtol=0, atol=0, what="the logits with the same seed", hint=hint)
    if np.array_equal(first, other):
        fail("Two seeds give the same model.", hint=hint)
