"""The network that makes embeddings, its loss, and how it is trained.

A network is compared with the reference's by giving both the same random weights, found by their shapes, in
float64. What is trained is looked at by what it can do afterwards.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autograder.checking import assert_accuracy, assert_close, assert_learns, assert_unchanged, fail
from autograder.datasets import load_dataset

BLOCKS = "Convolution, batch normalisation, ReLU, max pooling; then the mean over all places, a linear layer."


def normal(rng, *shape):
    """Random numbers, float64."""
    return torch.tensor(rng.normal(size=shape))


# --- build_embedder


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


def both(student, reference, rng, dim, channels):
    """The student's and the reference's network with the same random weights."""
    theirs = student.build_embedder(dim, channels).double()
    ours = reference.build_embedder(dim, channels).double()
    state = random_state(rng, ours.state_dict())
    ours.load_state_dict(state)
    values = {key(name, tensor): tensor for name, tensor in state.items() if tensor.ndim}
    names = student.builtin("dict", theirs.state_dict())
    if sorted(key(name, tensor) for name, tensor in names.items() if tensor.ndim) != sorted(values):
        fail(
            "The network has other parameters than its layers say.",
            expected=", ".join(f"{name} {shape}" for name, shape in sorted(values)),
            got=", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in names.items()),
            hint=BLOCKS,
        )
    theirs.load_state_dict({name: values.get(key(name, tensor), tensor) for name, tensor in names.items()})
    return theirs, ours


@pytest.mark.question("build_embedder", weight=3)
def test_build_embedder_values(student, reference, rng):
    """With given weights the embeddings in eval mode are those of the blocks, for pictures of any size."""
    for dim, channels, height, width in (
        (7, (4, 6), 8, 8),
        (9, (5, 2, 8, 4), 16, 23),
        (3, [6], 5, 4),
        (2, (4, 7, 5), 19, 33),
        (5, (2, 3, 4, 6), 31, 16),
    ):
        theirs, ours = both(student, reference, rng, dim, channels)
        theirs.eval()
        ours.eval()
        for N in (1, 3):
            x = normal(rng, N, 3, height, width)
            what = f"the embeddings with channels {channels}, {N} pictures of {height} x {width}"
            assert_close(theirs(x), ours(x).detach().numpy(), rtol=1e-6, atol=1e-8, what=what, hint=BLOCKS)


@pytest.mark.question("build_embedder")
def test_build_embedder_training_mode(student, reference, rng):
    """In training mode every block normalises with its batch, and keeps running averages."""
    theirs, ours = both(student, reference, rng, 7, (4, 6))
    x = normal(rng, 5, 3, 12, 12)
    theirs.train(True)
    expected = ours.train()(x).detach().numpy()
    what = "the embeddings in training mode"
    assert_close(theirs(x), expected, rtol=1e-6, atol=1e-8, what=what, hint=BLOCKS)
    theirs.eval()
    expected = ours.eval()(x).detach().numpy()
    what = "the embeddings in eval mode afterwards"
    assert_close(theirs(x), expected, rtol=1e-6, atol=1e-8, what=what, hint=BLOCKS)


@pytest.mark.question("build_embedder")
def test_build_embedder_defaults(student):
    """By default there are 16, 32, 64 and 128 maps and 64 numbers; weights are drawn anew each time."""
    first, second = (student.builtin("dict", student.build_embedder().state_dict()) for _ in range(2))
    shapes = sorted(tuple(tensor.shape) for tensor in first.values() if tensor.ndim > 1)
    expected = sorted([(16, 3, 3, 3), (32, 16, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (64, 128)])
    assert_close([list(shape) for shape in shapes], [list(shape) for shape in expected], what="the shapes")
    if all(torch.equal(first[name], second[name]) for name in first if first[name].ndim > 1):
        fail("Two networks have the same weights: each should be drawn anew.")


# --- proxy_loss


def plain_loss(f, p, y, scale):
    """The definition, in torch."""
    cosines = (f / f.square().sum(1, keepdim=True).sqrt()) @ (p / p.square().sum(1, keepdim=True).sqrt()).T
    return F.nll_loss(F.log_softmax(scale * cosines, dim=1), y)


PROBLEMS = ((6, 4, 3), (1, 5, 2), (9, 2, 7), (4, 20, 16))
"""(N, K, D)."""


@pytest.mark.question("proxy_loss", weight=3, given=["l2_normalize"])
def test_proxy_loss_values(student, rng):
    """The mean cross-entropy of the scaled cosines, whatever the lengths; inputs are not modified."""
    for N, K, D in PROBLEMS:
        f, p = 5 * normal(rng, N, D), 0.2 * normal(rng, K, D)
        y = torch.tensor(rng.integers(K, size=N))
        for scale in (1.0, 16.0, 30.0):
            loss = assert_unchanged(student.proxy_loss, f, p, y, scale)
            what = f"the loss of {N} embeddings, {K} proxies, scale {scale:g}"
            assert_close(loss, float(plain_loss(f, p, y, scale)), rtol=1e-6, what=what)


@pytest.mark.question("proxy_loss", given=["l2_normalize"])
def test_proxy_loss_default(student, rng):
    """The scale is 16 by default, and large scales and rows of zeros are no trouble."""
    f, p, y = normal(rng, 7, 5), normal(rng, 3, 5), torch.tensor(rng.integers(3, size=7))
    what = "the loss without a scale given"
    assert_close(student.proxy_loss(f, p, y), float(plain_loss(f, p, y, 16.0)), rtol=1e-6, what=what)
    what = "the loss with a scale of 5,000"
    assert_close(student.proxy_loss(f, p, y, 5e3), float(plain_loss(f, p, y, 5e3)), rtol=1e-6, what=what)
    what = "the loss of zeros, whose cosines are 0"
    assert_close(student.proxy_loss(0 * f, p, y), math.log(3), rtol=1e-6, what=what)


@pytest.mark.question("proxy_loss", weight=2, given=["l2_normalize"])
def test_proxy_loss_gradients(student, rng):
    """The gradients reach embeddings and proxies, through their lengths as well."""
    for N, K, D in PROBLEMS:
        f, p, y = normal(rng, N, D), normal(rng, K, D), torch.tensor(rng.integers(K, size=N))
        leaves = f.clone().requires_grad_(), p.clone().requires_grad_()
        expected = torch.autograd.grad(plain_loss(*leaves, y, 8.0), leaves)
        for name, got, wanted in zip(
            ("embeddings", "proxies"), student.gradients_of_loss(f, p, y, 8.0), expected, strict=True
        ):
            what = f"the gradient of the {name}"
            assert_close(got, wanted.numpy(), rtol=1e-6, atol=1e-9, what=what, hint="Neither is detached.")


# --- train_embedder


def clusters(rng, N, K, D):
    """Points around K random directions that are far apart, float32, and which they belong to."""
    centres = np.linalg.qr(rng.normal(size=(max(K, D), max(K, D))))[0][:K, :D]
    y = rng.integers(K, size=N)
    x = centres[y] + 0.1 * rng.normal(size=(N, D))
    return torch.tensor(x).float(), torch.tensor(y)


def new_proxies(student, rng, K, D):
    """Random proxies, where the student's code is."""
    proxies = student.value("torch").nn.Embedding(K, D)
    proxies.load_state_dict({"weight": normal(rng, K, D).float()})
    return proxies


def by_proxies(embeddings, proxies):
    """The class of the nearest proxy."""
    p = proxies.weight.detach().numpy().astype(np.float64)
    f = np.asarray(embeddings.detach().numpy(), dtype=np.float64)
    return np.argmax(f @ (p / np.linalg.norm(p, axis=1, keepdims=True)).T, axis=1)


def check_losses(losses, epochs):
    """A list of floats, one for each epoch."""
    if not isinstance(losses, list) or not all(isinstance(loss, float) for loss in losses):
        fail("train_embedder should return a list of floats.", value=losses)
    assert_close(len(losses), epochs, what="the number of losses", hint="One for each epoch.")


@pytest.mark.question("train_embedder", weight=2, given=["l2_normalize", "proxy_loss"])
def test_train_proxies(student, rng):
    """A network without weights: what is learned is the proxies."""
    x, y = clusters(rng, 120, 6, 6)
    proxies = new_proxies(student, rng, 6, 6)
    identity = student.value("torch").nn.Identity()
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    losses = student.train_embedder(identity, proxies, x, y, identity, 12, 0.1, 20)
    check_losses(losses, 12)
    assert_learns(losses, by_factor=0.5)
    hint = "The optimiser gets the parameters of the model and the proxies."
    assert_accuracy(by_proxies(x, proxies), y.numpy(), 0.95, what="accuracy of the nearest proxy", hint=hint)


@pytest.mark.question("train_embedder", weight=2, given=["l2_normalize", "proxy_loss"])
def test_train_model(student, rng):
    """With two proxies that point in nearly the same direction, the network has to learn the rest."""
    there = student.value("torch")
    there.manual_seed(int(rng.integers(2**31)))
    x, y = clusters(rng, 160, 2, 8)
    x[:, 0] += 3  # all points lie in one direction: the network has to move away from it
    model, identity = there.nn.Linear(8, 3), there.nn.Identity()
    before = model.weight.detach()
    proxies = new_proxies(student, rng, 2, 3)
    losses = student.train_embedder(model, proxies, x, y, identity, 15, 0.05, 32)
    check_losses(losses, 15)
    weights = model.weight.detach()
    if torch.equal(weights, before):
        fail("The weights of the network have not changed.")
    embeddings = x @ weights.T + model.bias.detach()
    what = "accuracy of the nearest proxy"
    assert_accuracy(by_proxies(embeddings, proxies), y.numpy(), 0.9, what=what)


@pytest.mark.question("train_embedder", weight=2, given=["l2_normalize", "proxy_loss"])
def test_train_losses(student, reference, rng):
    """At a rate of almost nothing every loss is that of the untrained network, averaged over pictures."""
    there = student.value("torch")
    for N, batch_size in ((10, 4), (7, 50), (9, 2)):
        x, y = clusters(rng, N, 3, 5)
        model, identity = there.nn.Linear(5, 4), there.nn.Identity()
        proxies = new_proxies(student, rng, 3, 4)
        embeddings = x @ model.weight.detach().T + model.bias.detach()
        expected = float(reference.proxy_loss(embeddings, proxies.weight.detach(), y))
        losses = student.train_embedder(model, proxies, x, y, identity, 3, 1e-9, batch_size)
        check_losses(losses, 3)
        hint = "Weight each batch with its size: the last one may be smaller."
        what = f"the losses of {N} pictures in batches of {batch_size}"
        assert_close(losses, [expected] * 3, rtol=1e-4, what=what, hint=hint)


def counted(student, N, batch_size, epochs, x, y, proxies):
    """How much weight each of N pictures had in a network's eyes: a normalisation counts one-hot pictures.

    Its running mean is the mean over all batches; in a batch of B pictures, each of them adds 1 / B.
    """
    there = student.value("torch")
    watch = there.nn.BatchNorm1d(N, momentum=None, affine=False)
    student.train_embedder(there.nn.Linear(N, 4), proxies, x, y, watch, epochs, 0.001, batch_size)
    batches = int(watch.num_batches_tracked)
    return batches, watch.running_mean.numpy() * batches


@pytest.mark.question("train_embedder", weight=2, given=["l2_normalize", "proxy_loss"])
def test_train_batches(student, rng):
    """In each epoch every picture goes through `transform` once, also those of a last, smaller batch."""
    for N, batch_size, epochs in ((12, 4, 3), (10, 4, 1), (5, 5, 2), (6, 40, 2)):
        x, y = torch.eye(N), torch.tensor(rng.integers(3, size=N))
        batches, weight = counted(student, N, batch_size, epochs, x, y, new_proxies(student, rng, 3, 4))
        expected = epochs * math.ceil(N / batch_size)
        what = (
            f"the number of batches that `transform` gets: {epochs} epochs, {N} pictures, {batch_size} each"
        )
        assert_close(batches, expected, what=what)
        last = N % batch_size or min(N, batch_size)
        shares = np.full(N, 1 / min(N, batch_size))
        shares[: last if batch_size < N else 0] = 1 / last
        hint = "Each picture once in every epoch, no batch left out."
        what = "how often each picture was used, times one over its batch"
        assert_close(np.sort(weight), np.sort(shares * epochs), rtol=1e-4, atol=1e-5, what=what, hint=hint)


@pytest.mark.question("train_embedder", given=["l2_normalize", "proxy_loss"])
def test_train_order(student, rng):
    """The order is drawn anew in each epoch, and in each training."""
    there = student.value("torch")
    x, y = torch.eye(10), torch.tensor(rng.integers(3, size=10))
    small, mixed = set(), 0
    for _ in range(6):
        there.manual_seed(int(rng.integers(2**31)))
        proxies = new_proxies(student, rng, 3, 4)
        _, weight = counted(student, 10, 4, 1, x, y, proxies)
        small.add(tuple(np.flatnonzero(weight > 0.4).tolist()))
        # In two epochs a picture has 1/4 + 1/4, 1/4 + 1/2 or 1/2 + 1/2; in the same order never the second.
        _, weight = counted(student, 10, 4, 2, x, y, proxies)
        mixed += bool((np.abs(weight - 0.75) < 0.1).any())
    # By chance all six are equal once in 10^8 times, and none is mixed once in 10^9.
    if len(small) < 2 or not mixed:
        fail("The pictures come in the same order again and again.", hint="torch.randperm in every epoch.")


@pytest.mark.question("train_embedder", given=["l2_normalize", "proxy_loss"])
def test_train_mode(student, rng):
    """It trains in training mode, whatever the mode before; pictures and labels are not modified."""
    there = student.value("torch")
    x, y = clusters(rng, 24, 3, 5)
    model = there.nn.BatchNorm1d(5)
    model.eval()
    proxies = new_proxies(student, rng, 3, 5)
    before = x.clone()
    _, after = student.train_embedder.after(model, proxies, x, y, there.nn.Identity(), 2, 0.01, 8)
    hint = "model.train() before the first batch: otherwise batch normalisation learns no averages."
    assert_close(
        int(model.num_batches_tracked), 6, what="the batches that the normalisation has seen", hint=hint
    )
    assert_close(after[2], before.numpy(), rtol=0, atol=0, what="the pictures afterwards")


SIDE, KNOWN, EACH, NEW, EPOCHS = 40, 20, 32, 40, 24
LEAST_KNOWN, LEAST_NEW = 0.15, 0.65
"""Accuracy on other pictures of the 20 known makes: three times what a guess gets. On 40 makes that were
never seen, how often a picture of the same make is nearer than one of another: a guess gets 0.5, pixels 0.54,
the network before it is trained 0.52, and after it 0.78. (Recall at 1 depends on the few nearest, and varies
four times as much, measured by how far it is from a guess.)
"""


def nearer_of_two(distances, labels, rng):
    """For each pair of one class, whether its distance is below that to a random picture of another class."""
    rows, columns = np.nonzero((labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool))
    others = rng.integers(len(labels), size=len(rows))
    valid = labels[others] != labels[rows]
    return (distances[rows, columns] < distances[rows, others])[valid].astype(np.int64)


@pytest.mark.question("train_embedder", weight=3, given=["l2_normalize", "proxy_loss"])
def test_train_cars(student, reference, rng):
    """A small network, trained on twenty makes of cars, knows them and tells forty others from each other."""
    there, seed = student.value("torch"), int(rng.integers(2**40))
    nn = there.nn
    there.manual_seed(int(rng.integers(2**31)))
    makes = rng.permutation(1000)[: KNOWN + NEW].tolist()
    cars = load_dataset(
        "generated_cars", makes=makes[:KNOWN], num_train=KNOWN * EACH, num_test=400, size=SIDE, seed=seed
    )
    others = load_dataset(
        "generated_cars", makes=makes[KNOWN:], num_train=0, num_test=800, size=SIDE, seed=seed
    )
    model = nn.Sequential(
        nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, 1, 1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, 64),
    )  # fmt: skip
    proxies = new_proxies(student, rng, KNOWN, 64)
    number = rng.permutation(KNOWN)
    x, y = torch.tensor(cars.x_train), torch.tensor(number[cars.y_train])
    views = student.value("views")
    losses = student.train_embedder(model, proxies, x, y, views, EPOCHS, 0.01, 16)
    check_losses(losses, EPOCHS)
    model.eval()
    f, f_new = (
        model(reference.to_input(torch.tensor(part))).detach() for part in (cars.x_test, others.x_test)
    )
    hint = "All pictures in all epochs, in new views; the rate should fall towards the end."
    what = "accuracy on other pictures of the known makes"
    assert_accuracy(by_proxies(f, proxies), number[cars.y_test], LEAST_KNOWN, what=what, hint=hint)
    nearer = nearer_of_two(reference.cosine_distances(f_new, f_new).numpy(), others.y_test, rng)
    what = "how often a picture of the same new make is nearer than one of another make"
    assert_accuracy(nearer, np.ones_like(nearer), LEAST_NEW, what=what, hint=hint)
