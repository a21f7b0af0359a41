"""The network for mixed batches, and the accuracy at each size."""

import numpy as np
import pytest
import torch

from autograder.checking import assert_close, fail

K = 3
GIVEN = ["masked_pool"]
HINT = "Outside of the mask the maps are 0, before the first block and after each; the mask shrinks too."


def key(name, tensor):
    """A parameter's name in its own layer, and its shape: no two agree where the channels are distinct."""
    return name.rpartition(".")[2], tuple(tensor.shape)


def network(channels, in_channels):
    """What the network computes without a mask, of torch's own layers."""
    nn, layers = torch.nn, []
    for before, after in zip((in_channels, *channels), channels, strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], K)).double()


def the_same(student, rng, channels=(4, 6), in_channels=1):
    """The student's network and ours, with the same random weights and running averages, in eval mode."""
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    theirs = student.MixedCNN(channels, K, in_channels).double()
    ours = network(channels, in_channels)
    state = {}
    for name, tensor in ours.state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith("running_var"):
            state[name] = torch.tensor(rng.uniform(0.5, 2, size=shape))
        else:  # biases and averages far from 0: outside of an image they make maps that are not 0
            state[name] = torch.tensor(rng.normal(scale=0.6, size=shape)) if shape else tensor
    ours.load_state_dict(state)
    values = {key(name, tensor): tensor for name, tensor in state.items() if tensor.ndim}
    names = student.builtin("dict", theirs.state_dict())
    if sorted(key(name, tensor) for name, tensor in names.items() if tensor.ndim) != sorted(values):
        fail(
            f"The network for the channels {channels} has other parameters than its blocks say.",
            expected=", ".join(f"{name} {shape}" for name, shape in sorted(values)),
            got=", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in names.items()),
            hint="For each block a Conv2d without bias and a BatchNorm2d, in the end a Linear.",
        )
    theirs.load_state_dict({name: values.get(key(name, tensor), tensor) for name, tensor in names.items()})
    theirs.train(False)
    return theirs, ours.eval()


def padded(images, height, width, filling=0.0):
    """Batch and mask; `filling` stands in the padding."""
    batch = torch.full((len(images), images[0].shape[0], height, width), filling, dtype=torch.float64)
    mask = torch.zeros(len(images), height, width, dtype=torch.bool)
    for n, image in enumerate(images):
        batch[n, :, : image.shape[1], : image.shape[2]] = image
        mask[n, : image.shape[1], : image.shape[2]] = True
    return batch, mask


def check_alone(student, rng, sizes, *, channels=(4, 6), in_channels=1, extra=(0, 0), filling=0.0):
    """Each image of a mixed batch has the logits that it has alone."""
    theirs, ours = the_same(student, rng, channels, in_channels)
    images = [torch.tensor(rng.normal(size=(in_channels, *size))) for size in sizes]
    height = max(size[0] for size in sizes) + extra[0]
    width = max(size[1] for size in sizes) + extra[1]
    logits = theirs(*padded(images, height, width, filling))
    with torch.no_grad():
        alone = torch.cat([ours(image[None]) for image in images])
    what = f"the logits of images {sizes} in a batch of {height} x {width}"
    assert_close(logits, alone.numpy(), rtol=1e-6, atol=1e-8, what=what, hint=HINT)


@pytest.mark.question("mixed_cnn", weight=2, given=GIVEN)
def test_mixed_cnn_without_mask(student, rng):
    """Without a mask the logits are those of the blocks, for one, two and three of them, and any size."""
    for channels, in_channels, size in (((4, 6), 1, (8, 12)), ((5,), 2, (5, 4)), ((4, 2, 6), 3, (9, 16))):
        theirs, ours = the_same(student, rng, channels, in_channels)
        x = torch.tensor(rng.normal(size=(2, in_channels, *size)))
        what = f"the logits with channels {channels} of images {size}"
        hint = (
            "Convolution, batch normalisation, ReLU, max pooling in each block; then mean and linear layer."
        )
        assert_close(theirs(x), ours(x).detach().numpy(), rtol=1e-6, atol=1e-8, what=what, hint=hint)


@pytest.mark.question("mixed_cnn", weight=2, given=GIVEN)
def test_mixed_cnn_whole_mask(student, rng):
    """A mask that is True everywhere changes nothing."""
    theirs, ours = the_same(student, rng)
    x = torch.tensor(rng.normal(size=(2, 1, 10, 9)))
    logits = theirs(x, torch.ones(2, 10, 9, dtype=torch.bool))
    assert_close(logits, ours(x).detach().numpy(), rtol=1e-6, atol=1e-8, what="the logits")


@pytest.mark.question("mixed_cnn", weight=3, given=GIVEN)
def test_mixed_cnn_mixed_batch(student, rng):
    """An image in a mixed batch has the logits that it has alone."""
    check_alone(student, rng, [(8, 8), (16, 12), (12, 16)])
    check_alone(student, rng, [(4, 8), (8, 4)], in_channels=2, channels=(5,))
    check_alone(student, rng, [(8, 16), (24, 8), (16, 16)], channels=(4, 2, 6))


@pytest.mark.question("mixed_cnn", weight=2, given=GIVEN)
def test_mixed_cnn_odd_sizes(student, rng):
    """The same for sizes that are odd on the way, where max pooling drops a row."""
    check_alone(student, rng, [(9, 7), (6, 11), (14, 13)])
    check_alone(student, rng, [(15, 10), (11, 21)], channels=(4, 2, 6))


@pytest.mark.question("mixed_cnn", weight=2, given=GIVEN)
def test_mixed_cnn_padding(student, rng):
    """It does not matter how much padding there is, nor what stands in it."""
    for extra, filling in (((8, 4), 0.0), ((3, 5), 0.0), ((4, 4), 9.0), ((2, 1), float("nan"))):
        check_alone(student, rng, [(8, 8), (6, 9)], extra=extra, filling=filling)


@pytest.mark.question("mixed_cnn", given=GIVEN)
def test_mixed_cnn_training_mode(student, rng):
    """In training mode, with batches of one size, it normalises with the batch and keeps running averages."""
    theirs, ours = the_same(student, rng)
    x = torch.tensor(rng.normal(size=(4, 1, 8, 8)))
    theirs.train(True)
    expected = ours.train()(x).detach().numpy()
    assert_close(theirs(x), expected, rtol=1e-6, atol=1e-8, what="the logits in training mode")
    theirs.train(False)
    expected = ours.eval()(x).detach().numpy()
    assert_close(theirs(x), expected, rtol=1e-6, atol=1e-8, what="the logits in eval mode afterwards")


@pytest.mark.question("mixed_cnn", given=GIVEN)
def test_mixed_cnn_defaults(student, rng):
    """Grey images by default, and weights that are drawn anew for each network."""
    there = student.value("torch")
    there.manual_seed(int(rng.integers(2**31)))
    first, second = student.MixedCNN([4, 6], K), student.MixedCNN([4, 6], K)
    first.train(False)
    out = first(torch.zeros(1, 1, 8, 8))
    assert_close(list(out.shape), [1, K], what="the shape of the logits")
    states = [student.builtin("dict", model.state_dict()) for model in (first, second)]
    if all(torch.equal(states[0][name], states[1][name]) for name in states[0]):
        fail("Two networks have the same weights.")


# --- accuracy
def linear_model(there, rng):
    """The mean of each of two channels, and a linear layer with known weights: (model, weight, bias)."""
    nn = there.nn
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, K)).double()
    weight, bias = rng.normal(size=(K, 2)), rng.normal(size=K)
    model.load_state_dict({"2.weight": torch.tensor(weight), "2.bias": torch.tensor(bias)})
    return model, weight, bias


def problem(rng, sizes, weight, bias):
    """Images of these sizes, labels of which about half are right, and the accuracies by size."""
    images = [torch.tensor(rng.normal(size=(2, *size)) + rng.normal(size=(2, 1, 1))) for size in sizes]
    answers = np.array([np.argmax(weight @ image.mean(dim=(1, 2)).numpy() + bias) for image in images])
    wrong = rng.random(len(sizes)) < 0.45
    labels = np.where(wrong, (answers + rng.integers(1, K, size=len(sizes))) % K, answers)
    expected = {
        size: float(np.mean([answers[i] == labels[i] for i, each in enumerate(sizes) if each == size]))
        for size in dict.fromkeys(sizes)
    }
    return images, torch.tensor(labels), expected


SIZES = [(3, 4)] * 11 + [(4, 3)] * 7 + [(3, 6)] * 5 + [(5, 5)] * 4 + [(2, 2)]


def drawn_sizes(rng):
    """The sizes in random order."""
    return [SIZES[i] for i in rng.permutation(len(SIZES))]


@pytest.mark.question("accuracy_by_size", weight=3)
def test_accuracy_by_size_values(student, rng):
    """The share of right answers for each size, whatever the batch size is."""
    model, weight, bias = linear_model(student.value("torch"), rng)
    images, labels, expected = problem(rng, drawn_sizes(rng), weight, bias)
    for batch_size in (100, 4, 1):
        result = student.accuracy_by_size(model, images, labels, batch_size)
        if not isinstance(result, dict):
            fail("accuracy_by_size should return a dict.", value=result)
        hint = "Count right answers and images for each size; a short batch counts with its images."
        what = f"the accuracies, in batches of at most {batch_size}"
        assert_close(result, expected, what=what, hint=hint)


@pytest.mark.question("accuracy_by_size", weight=2)
def test_accuracy_by_size_mode(student, rng):
    """The model is in eval mode while it is measured, and nothing in it changes."""
    there = student.value("torch")
    for mode in (True, False):
        before = there.nn.Dropout(1.0), there.nn.BatchNorm2d(2, affine=False)
        nn = there.nn
        model = nn.Sequential(*before, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, K)).double()
        weight, bias = rng.normal(size=(K, 2)), rng.normal(size=K)
        state = student.builtin("dict", model.state_dict())
        state |= {"4.weight": torch.tensor(weight), "4.bias": torch.tensor(bias)}
        model.load_state_dict(state)
        model.train(mode)
        scale = 1 / np.sqrt(1 + 1e-5)  # fresh running averages: 0 and 1
        images, labels, expected = problem(rng, drawn_sizes(rng), weight * scale, bias)
        result = student.accuracy_by_size(model, images, labels, 5)
        hint = "model.eval() before the first batch."
        assert_close(result, expected, what="the accuracies", hint=hint)
        after = student.builtin("dict", model.state_dict())
        for name, tensor in state.items():
            assert_close(after[name], tensor.numpy(), rtol=0, atol=0, what=name, hint=hint)


@pytest.mark.question("accuracy_by_size")
def test_accuracy_by_size_few(student, rng):
    """Images of a single size, and a single image."""
    there = student.value("torch")
    model, weight, bias = linear_model(there, rng)
    images, labels, expected = problem(rng, [(2, 3)] * 5, weight, bias)
    result = student.accuracy_by_size(model, images, labels, 2)
    assert_close(result, expected, what="the accuracies of images of one size")
    result = student.accuracy_by_size(model, images[:1], labels[:1])
    right = float(np.argmax(weight @ images[0].mean(dim=(1, 2)).numpy() + bias) == int(labels[0]))
    assert_close(result, {(2, 3): right}, what="the accuracy of a single image")
