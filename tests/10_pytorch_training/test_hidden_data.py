"""Datasets and loaders, and the random settings of hyper-parameter search."""

import math

import numpy as np
import pytest
import torch

from autograder.checking import StudentError, assert_close, assert_unchanged, fail


def check_item(item, image, label, where):
    """An example is (image, label), with the right types."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        fail(f"{where} should be (image, label).", value=item)
    if not isinstance(item[0], torch.Tensor) or item[0].dtype != torch.float32:
        fail(f"The image of {where} should be a float32 tensor.", value=item[0])
    hint = "(x - mean) / std, with an axis for the channel in front: (1, H, W)."
    assert_close(item[0], image, rtol=1e-5, atol=1e-6, what=f"the image of {where}", hint=hint)
    whole = isinstance(item[1], int | np.integer) and not isinstance(item[1], bool)
    if not whole and not (isinstance(item[1], torch.Tensor) and item[1].dtype == torch.int64):
        fail(f"The label of {where} should be an int or an int64 tensor.", value=item[1])
    assert_close(item[1], label, what=f"the label of {where}")


def draw_images(rng, shape, dtype):
    """Random pixels."""
    return rng.integers(0, 256, size=shape).astype(dtype)


@pytest.mark.question("image_dataset", weight=2)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int32])
def test_image_dataset_items(student, rng, dtype):
    """Every item is the standardised image with a channel axis, and its label; whatever the arrays' dtype."""
    images = draw_images(rng, (5, 4, 7), dtype)
    labels = rng.integers(0, 10, size=5).astype(np.int64 if dtype is not np.int32 else np.int32)
    mean, std = float(rng.uniform(20, 60)), float(rng.uniform(30, 90))
    dataset = student.ImageDataset(images, labels, mean, std)
    assert_close(student.builtin("len", dataset), 5, what="len(dataset)")
    for i in (3, 0, 4, 1, 2):
        expected = (images[i].astype(float)[None] - mean) / std
        item = student.builtin("getitem", dataset, i)
        check_item(item, expected, int(labels[i]), f"dataset[{i}]")


@pytest.mark.question("image_dataset")
def test_image_dataset_again(student, rng):
    """The same item asked for twice is the same; the arrays are not modified."""
    images, labels = draw_images(rng, (3, 5, 5), np.float32), np.array([2, 0, 1])
    dataset, after = student.ImageDataset.after(images, labels, 40.0, 7.0)
    assert_close(after[0], images, rtol=0, atol=0, what="images after the dataset was made")
    assert_close(after[1], labels, what="labels after the dataset was made")
    for _ in range(3):
        for i in range(3):
            item = student.builtin("getitem", dataset, i)
            check_item(item, (images[i][None] - 40.0) / 7.0, int(labels[i]), f"dataset[{i}], asked again")


@pytest.mark.question("image_dataset")
def test_image_dataset_defaults(student, rng):
    """Without mean and std the pixels stay as they are; two datasets do not disturb each other."""
    images = rng.normal(size=(2, 6, 3, 4))
    labels = rng.integers(0, 3, size=(2, 6))
    datasets = [student.ImageDataset(images[k], labels[k]) for k in (0, 1)]
    for k in (0, 1):
        item = student.builtin("getitem", datasets[k], 5)
        check_item(item, images[k, 5][None], int(labels[k, 5]), "an item without mean and std")


@pytest.mark.question("image_dataset")
def test_image_dataset_in_a_loader(student, rng):
    """A DataLoader stacks items into float32 images and int64 labels, and finds the end of the data."""
    images, labels = draw_images(rng, (7, 3, 4), np.uint8), rng.integers(0, 9, size=7)
    dataset = student.ImageDataset(images, labels, 100.0, 50.0)
    loader = student.value("torch").utils.data.DataLoader(dataset, batch_size=4)
    batches = student.builtin("list", loader)
    assert_close([len(batch[1]) for batch in batches], [4, 3], what="the sizes of the batches")
    x, y = (torch.cat([batch[part] for batch in batches]) for part in (0, 1))
    assert_close([str(x.dtype), str(y.dtype)], ["torch.float32", "torch.int64"], what="the dtypes of a batch")
    expected = (images[:, None].astype(float) - 100) / 50
    assert_close(x, expected, rtol=1e-5, atol=1e-6, what="the images of all batches")
    assert_close(y, labels, what="the labels of all batches")
    with pytest.raises(StudentError) as caught:
        student.builtin("getitem", dataset, 7)
    assert_close(caught.value.type, "IndexError", what="what dataset[7] of 7 examples raises")


# --- loaders
CASES = [(10, 3, 3), (24, 4, 5), (9, 8, 2), (30, 12, 100), (12, 1, 11)]


def make(student, N, num_val, batch_size, seed):
    """The two loaders of a dataset whose example i is the number 10 i."""
    data = student.value("torch").utils.data
    dataset = data.TensorDataset(10 * torch.arange(N))
    loaders = student.make_loaders.keeping(0, 1)(dataset, num_val, batch_size, seed)
    if not isinstance(loaders, tuple | list) or len(loaders) != 2:
        fail("make_loaders should return train_loader and val_loader.", value=loaders)
    return loaders


def epoch(student, loader):
    """The batches of one epoch: lists of examples."""
    batches = student.builtin("list", loader)
    return [[int(number) // 10 for number in batch[0]] for batch in batches]


def flat(batches):
    """All examples of an epoch."""
    return [example for batch in batches for example in batch]


@pytest.mark.question("make_loaders", weight=2)
def test_make_loaders_parts(student, rng):
    """num_val examples are for validation and all others for training: none is in both, and none is lost."""
    for N, num_val, batch_size in CASES:
        train, val = (
            flat(epoch(student, each))
            for each in make(student, N, num_val, batch_size, int(rng.integers(99)))
        )
        what = f"with {N} examples, {num_val} of them for validation"
        assert_close(len(val), num_val, what=f"the number of validation examples {what}")
        assert_close(len(train), N - num_val, what=f"the number of training examples {what}")
        if set(train) & set(val):
            fail(f"{len(set(train) & set(val))} examples are in both parts.", expected="none")
        assert_close(sorted(train + val), list(range(N)), what=f"all examples {what}")


@pytest.mark.question("make_loaders")
def test_make_loaders_batches(student, rng):
    """Every batch but the last holds batch_size examples, and the short one is kept, in both loaders."""
    for N, num_val, batch_size in CASES:
        loaders = make(student, N, num_val, batch_size, int(rng.integers(99)))
        for part, loader, size in zip(("train", "val"), loaders, (N - num_val, num_val), strict=True):
            sizes = [len(batch) for batch in epoch(student, loader)]
            full, rest = divmod(size, batch_size)
            expected = [batch_size] * full + ([rest] if rest else [])
            what = f"the sizes of the batches of {part}_loader: {size} examples in batches of {batch_size}"
            assert_close(sizes, expected, what=what, hint="drop_last is False, in both loaders.")
            what = f"len({part}_loader)"
            assert_close(student.builtin("len", loader), math.ceil(size / batch_size), what=what)


@pytest.mark.question("make_loaders")
def test_make_loaders_shuffles(student, rng):
    """Each epoch brings the training examples in another order, and the validation examples in the same."""
    train, val = make(student, 40, 15, 6, int(rng.integers(99)))
    orders = [flat(epoch(student, train)) for _ in range(4)]
    if len({tuple(order) for order in orders}) < 4:
        fail("Two of four epochs have the same order of training examples.", hint="shuffle=True")
    for order in orders:
        hint = "The split is made once, not in each epoch."
        assert_close(sorted(order), sorted(orders[0]), what="the training examples of an epoch", hint=hint)
    orders = [flat(epoch(student, val)) for _ in range(3)]
    for order in orders:
        assert_close(order, orders[0], what="the order of the validation examples", hint="No shuffling here.")


@pytest.mark.question("make_loaders")
def test_make_loaders_random_split(student, rng):
    """Which examples are for validation is drawn at random, another way with another seed."""
    N, num_val, seeds = 12, 3, rng.permutation(1000)[:60]
    times = np.zeros(N)
    for seed in seeds:
        times[flat(epoch(student, make(student, N, num_val, 4, int(seed))[1]))] += 1
    # Each is there with probability 1/4: never in 60 draws once in 3e7 times; more than 35 times even less.
    if times.min() == 0 or times.max() > 35:
        fail(
            "Over 60 seeds, some examples are for validation far more often than others.",
            expected="each about 15 times",
            got=str([int(count) for count in times]),
            hint="Split a random permutation: data are often sorted by class.",
        )


@pytest.mark.question("make_loaders", weight=2)
def test_make_loaders_seed(student, rng):
    """Equal seeds give the same split and batches, epoch by epoch, whatever else draws random numbers."""
    there = student.value("torch")
    runs = []
    for seed in (5, 5, 6):
        there.manual_seed(int(rng.integers(2**31)))
        train, val = make(student, 40, 10, 7, seed)
        seen = []
        for _ in range(2):
            there.rand(int(rng.integers(1, 9)))
            seen.append(epoch(student, train))
        runs.append([*seen, epoch(student, val)])
    hint = "The order of the training examples needs a generator too: DataLoader(..., generator=...)."
    assert_close(runs[1], runs[0], what="the batches of two epochs and of validation", hint=hint)
    if set(flat(runs[2][-1])) == set(flat(runs[0][-1])):
        fail("Two seeds give the same split.")


# --- random search
def draws(student, space, num, seed):
    """Name -> array of values."""
    configs = assert_unchanged(student.random_configs, space, num, seed)
    if not isinstance(configs, list) or not all(isinstance(each, dict) for each in configs):
        fail("random_configs should return a list of dicts.", value=configs)
    assert_close(len(configs), num, what="the number of settings")
    for each in configs:
        if set(each) != set(space):
            fail("Each dict should have the names in space.", expected=str(list(space)), got=str(list(each)))
    return {name: [each[name] for each in configs] for name in space}


def check_even(values, low, high, what, hint):
    """Numbers drawn evenly between low and high, by the statistic of Kolmogorov and Smirnov."""
    if not all(isinstance(value, float | np.floating) for value in values):
        fail(f"{what} should be floats.", value=values)
    place = np.sort((np.array(values) - low) / (high - low))
    if place[0] < -1e-9 or place[-1] > 1 + 1e-9:
        fail(f"Some values of {what} lie outside of their range.", hint=hint)
    n = len(place)
    gap = max(np.max(np.arange(1, n + 1) / n - place), np.max(place - np.arange(n) / n))
    # sqrt(n) times the gap exceeds 3 once in 3e7 times (2 exp(-2 * 9)).
    if gap * math.sqrt(n) > 3:
        fail(f"The values of {what} are not drawn evenly.", hint=hint)


@pytest.mark.question("random_configs")
def test_random_configs_uniform(student, rng):
    """A uniform number is drawn evenly between its bounds."""
    low, high = float(rng.uniform(-3, 0)), float(rng.uniform(1, 5))
    values = draws(student, {"a": ("uniform", low, high)}, 300, int(rng.integers(1000)))["a"]
    check_even(values, low, high, "a uniform number", "a + (b - a) u, with u between 0 and 1.")


@pytest.mark.question("random_configs", weight=2)
def test_random_configs_log(student, rng):
    """The logarithm of a rate is drawn evenly between the logarithms of its bounds."""
    for low, high in ((1e-5, 1e-1), (0.5, 40.0)):
        values = draws(student, {"r": ("log", low, high)}, 300, int(rng.integers(1000)))["r"]
        if min(values) <= 0:
            fail('A number of the kind "log" is not positive.', hint="exp of the logarithm that was drawn.")
        hint = "Draw evenly between log a and log b, then take exp."
        check_even(np.log(values), math.log(low), math.log(high), "the logarithm", hint)


@pytest.mark.question("random_configs")
def test_random_configs_choices(student, rng):
    """Of a list each element comes up about equally often, whatever it is."""
    choices = [(64,), (64, 32), None, "sgd"]
    values = draws(student, {"c": choices, "one": [7]}, 400, int(rng.integers(1000)))
    counts = [sum(value == choice for value in values["c"]) for choice in choices]
    # 400 draws with probability 1/4: 100, give or take 52, which is six standard deviations.
    if sum(counts) != 400 or not all(48 <= count <= 152 for count in counts):
        fail("The elements do not come up equally often.", expected="about 100 of 400 each", got=str(counts))
    assert_close(values["one"], [7] * 400, what="draws from a list of one element")


@pytest.mark.question("random_configs")
def test_random_configs_independent(student, rng):
    """Settings do not depend on each other: neither two names of one draw nor two draws."""
    space = dict.fromkeys("abc", ("uniform", 0.0, 1.0))
    values = np.array(list(draws(student, space, 400, int(rng.integers(1000))).values()))
    rows = [*values, values[0][np.arange(400) - 1]]  # the last: a, one draw later
    together = np.corrcoef(rows) - np.eye(4)
    if np.abs(together).max() > 6 / math.sqrt(400):
        fail("Two settings are drawn together.", hint="Draw a new random number for each name of each dict.")


@pytest.mark.question("random_configs")
def test_random_configs_seed(student):
    """Equal seeds give equal settings, and different seeds different ones."""
    space = {"r": ("log", 1e-3, 1.0), "d": ("uniform", 0.0, 1.0), "n": [1, 2, 3]}
    first, again, other = (draws(student, space, 9, seed) for seed in (4, 4, 5))
    assert_close(again, first, what="the settings for the same seed")
    if other["d"] == first["d"]:
        fail("Two seeds give the same settings.")
