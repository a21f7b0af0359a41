"""Split, statistics, preprocessing, network, augmentation: every part by itself, without a trained model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from autograder.checking import assert_close, assert_unchanged, fail
from autograder.datasets import load_dataset

SIZE, MAX_NUMBERS, CLASSES = 32, 100_000, 6
OWN = Path(__file__).parents[2] / "solutions" / "17_fruit_capstone" / "model.pt"


def seeded(student, rng):
    """Torch where the student's code runs begins at a number that nobody knows."""
    there = student.value("torch")
    there.manual_seed(int(rng.integers(2**31)))
    return there


# --- split_indices
def both_parts(student, labels, fraction, seed):
    """(train, val) as int64 arrays."""
    parts = student.split_indices(labels, fraction, seed)
    if not isinstance(parts, tuple | list) or len(parts) != 2:
        fail("split_indices should return two arrays: (train, val).", value=parts)
    arrays = [np.asarray(part) for part in parts]
    for array in arrays:
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            fail("Each part should be a one-dimensional array of whole numbers.", value=parts)
    return [array.astype(np.int64) for array in arrays]


def some_labels(rng, counts):
    """Labels with these numbers of examples, in random order."""
    return rng.permutation(np.repeat(np.arange(len(counts)), counts))


@pytest.mark.question("split_indices", weight=2)
def test_split_is_complete(student, rng):
    """Every example is in one of the two parts, and in one only."""
    for counts in ((30, 30, 30), (7, 19, 4, 11), (1, 50)):
        labels = some_labels(rng, counts)
        parts = both_parts(student, labels, 0.3, 5)
        assert_close(np.sort(np.concatenate(parts)), np.arange(len(labels)), what="both parts, sorted")


@pytest.mark.question("split_indices", weight=3)
def test_split_is_stratified(student, rng):
    """Of each class the share that was asked for is validated with, rounded to whole examples."""
    for counts, fraction in (((40, 40), 0.25), ((7, 19, 4, 11), 0.3), ((100, 3, 21), 0.1), ((12, 8), 0.5)):
        labels = some_labels(rng, counts)
        _, val = both_parts(student, labels, fraction, 2)
        expected = [round(fraction * count) for count in counts]
        what = f"validation examples of each class, with {counts} in all and fraction {fraction}"
        hint = "Choose in each class by itself: np.flatnonzero(labels == c)."
        assert_close(
            np.bincount(labels[val], minlength=len(counts)), np.array(expected), what=what, hint=hint
        )


@pytest.mark.question("split_indices")
def test_split_by_seed(student, rng):
    """Equal seeds give equal splits, another seed another one."""
    labels = some_labels(rng, (40, 40, 40))
    first, again, other = (both_parts(student, labels, 0.25, seed) for seed in (8, 8, 9))
    for part in (0, 1):
        assert_close(again[part], first[part], what="the same part with the same seed")
    if set(first[1].tolist()) == set(other[1].tolist()):
        fail("Two seeds choose the same examples.", hint="np.random.default_rng(seed)")


@pytest.mark.question("split_indices", weight=2)
def test_split_is_shuffled(student, rng):
    """Which examples of a class are chosen is random, and so is the order in both parts."""
    labels = np.repeat(np.arange(3), 100)
    train, val = both_parts(student, labels, 0.2, int(rng.integers(1000)))
    for name, part in (("train", train), ("val", val)):
        changes = int(np.sum(np.diff(labels[part]) != 0))
        if changes < len(part) // 4:
            fail(f"In {name} the classes come one after the other.", got=f"{changes} changes of class",
                 hint="Shuffle each part as a whole at the end.")  # fmt: skip
    for c in range(3):
        places = np.sort(val[labels[val] == c] - 100 * c)
        if places.max() - places.min() < 40:
            fail("The validation examples of a class lie all together.", got=str(places.tolist()),
                 hint="Choose at random: the file may be sorted within a class, too.")  # fmt: skip


@pytest.mark.question("split_indices")
def test_split_of_any_labels(student, rng):
    """Class numbers need not begin at 0 nor be without gaps, and the labels stay as they are."""
    labels = rng.permutation(np.repeat([3, 7, 20], [10, 20, 30]))
    assert_unchanged(student.split_indices, labels, 0.2, 1)
    _, val = both_parts(student, labels, 0.2, 1)
    counts = [int((labels[val] == c).sum()) for c in (3, 7, 20)]
    assert_close(np.array(counts), np.array([2, 4, 6]), what="validation examples of the classes 3, 7, 20")


# --- channel_statistics
def bytes_of(rng, *shape):
    """Pictures of which each channel has its own mean and spread."""
    low = np.array([0, 60, 120])[:, None, None]
    return (low + rng.integers(0, 130, size=shape) * np.array([1.0, 0.5, 0.9])[:, None, None]).astype(
        np.uint8
    )


@pytest.mark.question("channel_statistics", weight=3)
def test_statistics(student, rng):
    """Mean and standard deviation of each channel are those of all its pixels together, from 0 to 1."""
    for shape in ((50, 3, 8, 8), (9, 3, 16, 5), (400, 3, 4, 4)):
        images = bytes_of(rng, *shape)
        mean, std = student.channel_statistics(images)
        hint = "Over axes 0, 2 and 3; in floating point, and divided by 255."
        # Dividing by the number of pixels less one is right as well.
        exact = images.astype(np.float64) / 255
        assert_close(mean, exact.mean(axis=(0, 2, 3)), rtol=1e-4, what="mean", hint=hint)
        assert_close(std, exact.std(axis=(0, 2, 3)), rtol=2e-3, what="std", hint=hint)


@pytest.mark.question("channel_statistics")
def test_statistics_of_unequal_pictures(student, rng):
    """Dark pictures and light ones: the spread between pictures counts as well."""
    light = rng.integers(0, 200, size=(60, 1, 1, 1))
    images = (light + rng.integers(0, 50, size=(60, 3, 6, 6))).astype(np.uint8)
    _, std = student.channel_statistics(images)
    exact = (images.astype(np.float64) / 255).std(axis=(0, 2, 3))
    hint = "Not the mean of each picture's standard deviation: all pixels in one."
    assert_close(std, exact, rtol=2e-3, what="std", hint=hint)


@pytest.mark.question("channel_statistics")
def test_statistics_leave_the_pictures(student, rng):
    """The pictures are not modified, and both results are float32."""
    images = bytes_of(rng, 20, 3, 5, 5)
    result = assert_unchanged(student.channel_statistics, images)
    for name, value in zip(("mean", "std"), result, strict=True):
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
            fail(f"{name} should be a float32 tensor.", value=result, got=str(getattr(value, "dtype", value)))


# --- normalize
def statistics(rng):
    return [torch.tensor(rng.uniform(0.2, 0.7, size=3), dtype=torch.float32) for _ in range(2)]


@pytest.mark.question("normalize", weight=2)
def test_normalize(student, rng):
    """Each channel gets its own mean and standard deviation, also where a picture is 3 pixels wide."""
    for shape in ((4, 3, 5, 6), (2, 3, 3, 3), (1, 3, 8, 3)):
        x = torch.tensor(rng.random(size=shape), dtype=torch.float32)
        mean, std = statistics(rng)
        expected = (x.numpy() - mean.numpy()[:, None, None]) / std.numpy()[:, None, None]
        out = assert_unchanged(student.normalize, x, mean, std)
        assert_close(out, expected, rtol=1e-5, atol=1e-6, what="the normalised pictures")


# --- preprocess
def resized(images):
    x = torch.tensor(images).float() / 255
    return torch.nn.functional.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=True)


@pytest.mark.question("preprocess", weight=2)
def test_preprocess_keeps_pixels(student, rng):
    """Pictures of the right size keep their pixels, as numbers from 0 to 1."""
    for n in (1, 5):
        images = rng.integers(0, 256, size=(n, 3, SIZE, SIZE)).astype(np.uint8)
        x = assert_unchanged(student.preprocess, images)
        assert_close(x, images / 255, rtol=1e-5, atol=1e-6, what="the tensor", hint="Divide by 255.")
        if not isinstance(x, torch.Tensor) or x.dtype != torch.float32:
            fail("A float32 tensor is expected.", value=x)


@pytest.mark.question("preprocess", weight=3)
def test_preprocess_resizes(student, rng):
    """Larger, smaller and oblong pictures become SIZE x SIZE, averaged over what is left out."""
    for height, width in ((64, 64), (100, 45), (20, 16), (SIZE, 80)):
        images = rng.integers(0, 256, size=(2, 3, height, width)).astype(np.uint8)
        hint = 'F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=True), in floating point.'
        x = student.preprocess(images)
        what = f"pictures of {height} x {width}"
        # An eighth of a grey level: what was rounded to whole ones on the way is further off.
        assert_close(x, resized(images).numpy(), rtol=0, atol=5e-4, what=what, hint=hint)


@pytest.mark.question("preprocess")
def test_preprocess_of_fine_patterns(student):
    """A fine chequerboard made smaller is grey."""
    board = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    x = student.preprocess(np.tile(board, (1, 3, 1, 1)))
    assert_close(
        x, np.full((1, 3, SIZE, SIZE), 0.5), rtol=0, atol=0.02, what="the pixels", hint="antialias=True"
    )


# --- fruit_net
def numbers_of(student, model):
    """The state of a model that stayed with the student's code, and how many numbers that is."""
    state = student.builtin("dict", model.state_dict())
    return state, sum(int(np.prod(tuple(tensor.shape))) for tensor in state.values())


def some_pictures(rng, n=4):
    return torch.tensor(rng.random(size=(n, 3, SIZE, SIZE)), dtype=torch.float32)


def new_net(student, rng, mean=None, std=None, classes=CLASSES):
    """A network of the student's; by default its normalisation changes nothing."""
    mean = torch.zeros(3) if mean is None else mean
    return student.FruitNet(mean, torch.ones(3) if std is None else std, classes)


@pytest.mark.question("fruit_net", weight=2, given=["normalize"])
def test_net_shapes(student, rng):
    """Logits (N, K) for any number of classes, and for a batch of one."""
    seeded(student, rng)
    for classes in (CLASSES, 3):
        model = new_net(student, rng, classes=classes)
        model.eval()
        for n in (1, 5):
            logits = model(some_pictures(rng, n))
            assert_close(
                list(logits.shape), [n, classes], what=f"the shape for {n} pictures, {classes} classes"
            )
    model.train()
    assert_close(list(model(some_pictures(rng, 4)).shape), [4, 3], what="the shape in training mode")


@pytest.mark.question("fruit_net", weight=2, given=["normalize"])
def test_net_budget(student, rng):
    """Parameters and buffers together are at most 100,000 numbers, and enough to learn something."""
    seeded(student, rng)
    _, count = numbers_of(student, new_net(student, rng))
    if not 1000 <= count <= MAX_NUMBERS:
        fail(f"The network has {count:,} numbers.", expected=f"at most {MAX_NUMBERS:,}", got=f"{count:,}",
             hint="Global pooling before the linear layer; most weights are in the late layers.")  # fmt: skip


@pytest.mark.question("fruit_net", weight=3, given=["normalize"])
def test_net_normalises(student, rng):
    """The forward pass begins with (x - mean) / std."""
    there = seeded(student, rng)
    seed = int(rng.integers(2**31))
    mean, std = statistics(rng)
    there.manual_seed(seed)
    plain = new_net(student, rng)
    there.manual_seed(seed)
    normalising = new_net(student, rng, mean, std)
    for model in (plain, normalising):
        model.eval()
    x = some_pictures(rng)
    shifted = x * std[:, None, None] + mean[:, None, None]
    expected = plain(x).detach().numpy()
    what = "logits of pictures whose mean and spread are taken out again"
    hint = "normalize(x, self.mean, self.std) comes first."
    assert_close(normalising(shifted), expected, rtol=1e-3, atol=1e-4, what=what, hint=hint)


@pytest.mark.question("fruit_net", given=["normalize"])
def test_net_keeps_its_statistics(student, rng):
    """Mean and standard deviation are buffers: saved with the weights, and not trained."""
    seeded(student, rng)
    mean, std = statistics(rng)
    model = new_net(student, rng, mean, std)
    state, _ = numbers_of(student, model)
    for name, value in (("mean", mean), ("std", std)):
        if name not in state:
            fail(f"The state_dict has no {name!r}.", expected=", ".join([name, "..."]), got=", ".join(state),
                 hint=f'self.register_buffer("{name}", {name})')  # fmt: skip
        assert_close(state[name].reshape(-1), value.numpy(), rtol=1e-6, what=f"the buffer {name}")
    parameters = student.builtin("dict", model.named_parameters())
    if {"mean", "std"} & set(parameters):
        fail("mean or std is a parameter, which training would change.", hint="register_buffer")


@pytest.mark.question("fruit_net", weight=2, given=["normalize"])
def test_net_gives_logits(student, rng):
    """What comes out are logits, not probabilities, and a picture's do not depend on its neighbours."""
    seeded(student, rng)
    model = new_net(student, rng)
    model.eval()
    x = some_pictures(rng, 6)
    together = model(x).detach().numpy()
    sums = np.exp(together).sum(axis=1), together.sum(axis=1)
    if any(np.allclose(each, 1, atol=1e-3) for each in sums):
        fail("The outputs are probabilities or their logarithms.", got=str(together[0]),
             hint="F.cross_entropy takes the softmax itself: return the linear layer's output.")  # fmt: skip
    for n in range(2):
        hint = "In eval mode nothing may depend on the batch."
        what = "the logits of a picture by itself"
        assert_close(model(x[n : n + 1])[0], together[n], rtol=1e-3, atol=1e-4, what=what, hint=hint)


@pytest.mark.question("fruit_net", given=["normalize"])
def test_net_is_differentiable(student, rng):
    """Every logit depends on the picture, and autograd can tell how."""
    there = seeded(student, rng)
    model = new_net(student, rng)
    model.eval()
    slopes = there.autograd.functional.jacobian(model, some_pictures(rng, 1))
    assert_close(list(slopes.shape), [1, CLASSES, 1, 3, SIZE, SIZE], what="the shape of the derivatives")
    moved = np.abs(slopes.numpy()).reshape(CLASSES, -1).max(axis=1)
    if not (np.isfinite(moved).all() and (moved > 0).all()):
        fail("A logit does not change with the picture.", got=str(moved.tolist()))


# --- augment
def kitchen(rng, count):
    """Pictures that are nobody's training data, and their labels."""
    fruit = load_dataset("fruit", num_train=0, num_test=count, seed=int(rng.integers(2**62)))
    return fruit.x_test, fruit.y_test


@pytest.mark.question("augment", weight=2)
def test_augment_keeps_its_form(student, rng):
    """Shape, dtype and the range from 0 to 1 stay, and the pictures that went in are not changed."""
    there = seeded(student, rng)
    for shape, dtype in (((16, 3, SIZE, SIZE), torch.float32), ((1, 3, 40, 24), torch.float64)):
        x = torch.tensor(rng.random(size=shape) ** 2, dtype=dtype)
        there.manual_seed(int(rng.integers(2**31)))
        out = assert_unchanged(student.augment, x)
        if not isinstance(out, torch.Tensor) or out.dtype != dtype:
            fail(f"A tensor of dtype {dtype} is expected.", value=out)
        assert_close(list(out.shape), list(shape), what="the shape")
        if not (torch.isfinite(out).all() and out.min() >= -1e-6 and out.max() <= 1 + 1e-6):
            fail(f"Values lie between {out.min():.3g} and {out.max():.3g}.", expected="between 0 and 1",
                 hint="clamp(0, 1)", value=out)  # fmt: skip


@pytest.mark.question("augment", weight=2)
def test_augment_each_in_its_own_way(student, rng):
    """Equal pictures of a batch come out differently, and so do two calls; equal seeds give the same."""
    there = seeded(student, rng)
    images, _ = kitchen(rng, 48)
    one = torch.tensor(images[:1]).float() / 255
    seed = int(rng.integers(2**31))
    there.manual_seed(seed)
    first, second = (student.augment(one.repeat(8, 1, 1, 1)).numpy() for _ in range(2))
    there.manual_seed(seed)
    again = student.augment(one.repeat(8, 1, 1, 1))
    assert_close(again, first, rtol=0, atol=1e-6, what="the pictures with the same seed")
    if any(np.abs(first[i] - first[j]).mean() < 1e-3 for i in range(8) for j in range(i)):
        fail("Two equal pictures of one batch are changed alike.", hint="Random numbers for each picture.")
    if np.abs(first - second).mean() < 1e-3:
        fail("Two calls change the pictures alike.", hint="Draw new random numbers in each call.")


@pytest.mark.question("augment", weight=2)
def test_augment_changes_enough(student, rng):
    """Most pictures change visibly, and not only by a factor."""
    seeded(student, rng)
    images, _ = kitchen(rng, 96)
    x = torch.tensor(images).float() / 255
    out = student.augment(x)
    moved = np.abs((out - x).numpy()).mean(axis=(1, 2, 3))
    likeness = [
        np.corrcoef(before.ravel(), after.ravel())[0, 1]
        for before, after in zip(x.numpy(), out.numpy(), strict=True)
    ]
    if np.median(moved) < 0.02:
        fail(f"Half of the pictures change by less than {np.median(moved):.3f} on average.",
             expected="at least 0.02, on the scale from 0 to 1")  # fmt: skip
    if np.median(likeness) > 0.97:
        fail("The pictures stay where they are: only brightness or colour changes.",
             hint="Mirror them, turn them a little, move them.")  # fmt: skip


@pytest.mark.question("augment", weight=3)
def test_augment_keeps_the_classes(student, reference, rng):
    """A model that knows fruit still recognises four of five."""
    seeded(student, rng)
    images, labels = kitchen(rng, 384)
    out = student.augment(torch.tensor(images).float() / 255)
    if not isinstance(out, torch.Tensor) or tuple(out.shape) != images.shape:
        fail("The shape has changed.", value=out)
    guess = reference.logits_of(reference.load_model(OWN), out.float()).argmax(dim=1).numpy()
    accuracy = float(np.mean(guess == labels))
    if accuracy < 0.8:
        fail(f"A good model recognises only {accuracy:.0%} of the changed pictures.",
             expected="at least 80% (of unchanged ones more than 95%)",
             hint="Milder changes; nothing that hides or recolours the fruit, and each picture in its place.",
             value=out)  # fmt: skip
