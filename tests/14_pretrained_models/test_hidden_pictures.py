"""What goes into a network: size, numbers, batches; and what is read off its logits.

Pillow and torch round differently, so pictures are compared to within two of 255 levels.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from autograder.checking import assert_close, assert_stable, assert_unchanged, fail

LEVELS = 2 / 255
"""Two passes of Pillow, each rounded to whole levels."""


def picture(rng, height, width):
    """Smooth colours with edges and some grain, bytes."""
    coarse = rng.uniform(0, 255, size=(4, 5, 3)).astype(np.uint8)
    smooth = np.asarray(
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=float
    )
    edge = 40.0 * (np.add.outer(np.arange(height), np.arange(width)) % 7 < 3)
    grain = rng.normal(scale=15, size=(height, width, 3))
    return np.clip(smooth + edge[:, :, None] + grain, 0, 255).astype(np.uint8)


def square(student, image, resize, crop):
    """What resize_and_crop gives, with type and shape looked at."""
    got = assert_unchanged(student.resize_and_crop, image, resize, crop)
    if not isinstance(got, torch.Tensor) or got.dtype != torch.float32:
        fail("resize_and_crop should return a float32 tensor.", value=got)
    return got


# --- resize_and_crop
@pytest.mark.question("resize_and_crop", weight=4)
def test_resize_and_crop_values(student, reference, rng):
    """Wide, high and square pictures, large and small, are resized with antialiasing and cropped."""
    for (height, width), resize, crop in (
        ((60, 100), 30, 24),
        ((100, 60), 30, 24),
        ((64, 64), 24, 20),
        ((45, 75), 30, 20),
        ((20, 30), 40, 36),
        ((120, 200), 12, 12),
    ):
        image = picture(rng, height, width)
        expected = reference.resize_and_crop(image, resize, crop).numpy()
        what = f"a picture of {height} x {width}, resized to {resize} and cropped to {crop}"
        hint = "Bilinear with antialiasing; the proportions stay; the same margin on both sides."
        assert_close(
            square(student, image, resize, crop), expected, rtol=0, atol=LEVELS, what=what, hint=hint
        )


@pytest.mark.question("resize_and_crop")
def test_resize_and_crop_odd(student, reference, rng):
    """Where sides do not divide and margins cannot be equal, a smooth picture comes out as it should."""
    for height, width in ((67, 101), (101, 66), (50, 83)):
        rows, columns = np.mgrid[:height, :width]
        image = np.stack([rows + 20, columns + 50, 2 * (rows % 2) + 100], axis=2).astype(np.uint8)
        expected = reference.resize_and_crop(image, 32, 27).numpy()
        # Two levels for one pixel of the new grid, to either side; one for rounding the longer side; two for
        # Pillow.
        got = square(student, image, 32, 27)
        assert_close(got, expected, rtol=0, atol=5 / expected.max(), what=f"a ramp of {height} x {width}")


@pytest.mark.question("resize_and_crop")
def test_resize_and_crop_as_it_is(student, rng):
    """A picture that already has the right size comes back as it was, in another order of its axes."""
    image = picture(rng, 24, 24)
    expected = image.transpose(2, 0, 1).astype(float)
    got = square(student, image, 24, 24)
    assert_close(
        got, expected, rtol=0, atol=1e-6, what="a picture of the right size", hint="Channels first, 0 to 255."
    )
    got = square(student, image, 24, 10)
    assert_close(got, expected[:, 7:17, 7:17], rtol=0, atol=1e-6, what="its middle")


@pytest.mark.question("resize_and_crop")
def test_resize_and_crop_defaults(student, reference, rng):
    """By default the shorter side gets 256 pixels, and 224 of them stay."""
    image = picture(rng, 320, 400)
    got = assert_unchanged(student.resize_and_crop, image)
    expected = reference.resize_and_crop(image).numpy()
    assert_close(got, expected, rtol=0, atol=LEVELS, what="a picture of 320 x 400")


@pytest.mark.question("resize_and_crop")
def test_resize_and_crop_thin_lines(student, rng):
    """A fine pattern becomes an even grey, and no coarse pattern takes its place."""
    stripes = np.zeros((96, 120, 3), dtype=np.uint8)
    stripes[:, rng.integers(2) :: 2] = 200
    got = square(student, stripes, 16, 16)
    hint = "antialias=True, or Pillow's resize."
    assert_close(
        got, np.full((3, 16, 16), 100.0), rtol=0, atol=5 / 255, what="stripes, six times smaller", hint=hint
    )


# --- standardize
def recipe_of(rng, order):
    """A recipe with random numbers."""
    return {
        "order": order,
        "scale": float(rng.uniform(0.01, 0.1)),
        "mean": tuple(rng.uniform(0.2, 5, size=3).tolist()),
        "std": tuple(rng.uniform(0.3, 3, size=3).tolist()),
    }


def standardized(images, recipe):
    """The definition, in float64."""
    images = np.asarray(images, dtype=np.float64)
    planes = [
        (images[:, "RGB".index(letter)] * recipe["scale"] - mean) / std
        for letter, mean, std in zip(recipe["order"], recipe["mean"], recipe["std"], strict=True)
    ]
    return np.stack(planes, axis=1)


@pytest.mark.question("standardize", weight=3)
@pytest.mark.parametrize("order", ["RGB", "BGR", "GBR"])
def test_standardize_values(student, rng, order):
    """Every channel gets its own mean and deviation, in the network's order; bytes and floats alike."""
    for shape in ((2, 3, 4, 5), (1, 3, 3, 3), (3, 3, 1, 2)):
        recipe = recipe_of(rng, order)
        bytes_ = torch.tensor(rng.integers(0, 256, size=shape), dtype=torch.uint8)
        for images in (bytes_, torch.tensor(rng.uniform(0, 255, size=shape), dtype=torch.float32)):
            got = assert_unchanged(student.standardize, images, recipe)
            if not isinstance(got, torch.Tensor) or got.dtype != torch.float32:
                fail("standardize should return a float32 tensor.", value=got)
            expected = standardized(images.numpy(), recipe)
            hint = "(scale * pixels - mean) / std, with mean and std along the axis of the channels."
            assert_close(got, expected, rtol=1e-4, atol=1e-5, what=f"pictures {shape} for {order}", hint=hint)


@pytest.mark.question("standardize")
def test_standardize_known_recipes(student, rng):
    """The recipes of the notebook, on bytes."""
    images = torch.tensor(rng.integers(0, 256, size=(2, 3, 6, 4)), dtype=torch.uint8)
    for recipe in (
        {"order": "RGB", "scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
        {"order": "BGR", "scale": 1.0, "mean": (103.939, 116.779, 123.68), "std": (1.0, 1.0, 1.0)},
        {"order": "RGB", "scale": 1.0, "mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)},
    ):
        got = student.standardize(images, recipe)
        assert_close(got, standardized(images.numpy(), recipe), rtol=1e-4, atol=1e-5, what="the pictures")


# --- classify
def modes_of(student, model):
    """The mode of each module, in order."""
    return [int(module.training) for module in student.builtin("list", model.modules())]


def little_network(student, rng):
    """Batch normalisation and dropout, with running averages that are not those of a batch."""
    there = student.value("torch").nn
    model = there.Sequential(
        there.Linear(4, 6), there.BatchNorm1d(6), there.Dropout(0.5), there.ReLU(), there.Linear(6, 3)
    ).double()
    state = student.builtin("dict", model.state_dict())
    filled = {
        name: torch.tensor(rng.uniform(0.5, 2, size=tuple(value.shape)))
        if value.is_floating_point()
        else value
        for name, value in state.items()
    }
    model.load_state_dict(filled)
    weights = {name: value.numpy() for name, value in filled.items()}

    def expected(x):
        hidden = x @ weights["0.weight"].T + weights["0.bias"]
        hidden = (hidden - weights["1.running_mean"]) / np.sqrt(weights["1.running_var"] + 1e-5)
        hidden = np.maximum(hidden * weights["1.weight"] + weights["1.bias"], 0)
        return hidden @ weights["4.weight"].T + weights["4.bias"]

    return model, expected


@pytest.mark.question("classify", weight=3)
def test_classify_values(student, rng):
    """The logits are those of eval mode, whatever the mode before, batch size and number of pictures."""
    model, expected = little_network(student, rng)
    for N, batch_size in ((7, 3), (6, 3), (1, 4), (5, 1), (4, 9)):
        for mode in (True, False):
            model.train(mode)
            x = rng.normal(size=(N, 4))
            got = assert_unchanged(student.classify, model, torch.tensor(x), batch_size)
            what = f"the logits of {N} pictures in batches of {batch_size}"
            hint = "model.eval(); and the last batch may be short."
            assert_close(got, expected(x), what=what, hint=hint)


@pytest.mark.question("classify", weight=2)
def test_classify_batches(student, rng):
    """Each picture goes through once, in full batches but for the last, without a record for gradients."""
    for N, batch_size in ((10, 4), (8, 4), (3, 5)):
        witness = student.Witness()
        x = torch.tensor(rng.normal(size=(N, 2, 3)))
        got = student.classify(witness, x, batch_size)
        assert_close(got, x.numpy().reshape(N, 6), what="the logits")
        if got.requires_grad:
            fail("The logits still have a record for a backward pass.", hint="with torch.inference_mode():")
        full, rest = divmod(N, batch_size)
        sizes = [batch_size] * full + ([rest] if rest else [])
        seen = [[int(part) for part in each] for each in witness.seen]
        what = "number, mode (0: eval) and record (0: none) of each batch"
        hint = "model.eval(), torch.inference_mode(), images.split(batch_size)."
        assert_close(seen, [[size, 0, 0] for size in sizes], what=what, hint=hint)


@pytest.mark.question("classify")
def test_classify_default_batches(student, rng):
    """By default a batch has 32 pictures."""
    witness = student.Witness()
    student.classify(witness, torch.tensor(rng.normal(size=(70, 2))))
    assert_close([int(each[0]) for each in witness.seen], [32, 32, 6], what="the sizes of the batches")


@pytest.mark.question("classify", weight=2)
def test_classify_puts_modes_back(student, rng):
    """Afterwards each module is in its own mode again, and all numbers in the network are as before."""
    for which in ((), ("1",), ("2", "4"), ("", "0", "1", "2", "3", "4")):
        model, expected = little_network(student, rng)
        model.train(True)
        for name in which:
            (model.get_submodule(name) if name else model).training = False
        before, state = modes_of(student, model), student.builtin("dict", model.state_dict())
        x = rng.normal(size=(5, 4))
        got = student.classify(model, torch.tensor(x), 2)
        assert_close(got, expected(x), what="the logits")
        hint = "Note module.training for each of model.modules(), and put it back."
        assert_close(
            modes_of(student, model), before, what="the modes of the modules (1: training)", hint=hint
        )
        after = student.builtin("dict", model.state_dict())
        for name, value in state.items():
            assert_close(after[name], value.numpy(), rtol=0, atol=0, what=f"{name} afterwards")


# --- top_k
def softmax(z):
    """Of each row."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.question("top_k", weight=3)
def test_top_k_values(student, rng):
    """The largest of the softmax over all classes, in falling order, with their classes."""
    for N, K, k in ((4, 7, 3), (1, 5, 5), (3, 2, 1), (6, 40, 5)):
        z = rng.normal(scale=2, size=(N, K))
        probabilities, classes = assert_unchanged(student.top_k, torch.tensor(z), k)
        p = softmax(z)
        order = np.argsort(-p, axis=1)[:, :k]
        hint = "Softmax first, over all classes; then the k largest."
        what = f"the {k} largest of {K} probabilities"
        assert_close(probabilities, np.take_along_axis(p, order, axis=1), what=what, hint=hint)
        assert_close(classes, order, what="their classes")


@pytest.mark.question("top_k")
def test_top_k_large_logits(student, rng):
    """Logits of any size: the softmax neither overflows nor divides 0 by 0."""
    z = rng.normal(scale=300, size=(5, 9)) + rng.choice([-2000, 2000], size=(5, 1))
    probabilities, classes = student.top_k(torch.tensor(z), 3)
    p = softmax(z)
    order = np.argsort(-z, axis=1)[:, :3]
    assert_stable(
        probabilities, np.take_along_axis(p, order, axis=1), what="the probabilities of large logits"
    )
    assert_close(classes[:, 0], order[:, 0], what="the first class")


# --- compare_recipes
@pytest.mark.question("compare_recipes", weight=2, given=["standardize"])
def test_compare_recipes_values(student, rng):
    """For each recipe the share of pictures that a linear network classifies right after it."""
    there = student.value("torch").nn
    for N, K in ((9, 4), (1, 3), (20, 2)):
        network = there.Sequential(there.Flatten(), there.Linear(3 * 2 * 2, K))
        weight, bias = rng.normal(size=(K, 12)), 3 * rng.normal(size=K)
        network.load_state_dict({"1.weight": torch.tensor(weight), "1.bias": torch.tensor(bias)})
        images = torch.tensor(rng.integers(0, 256, size=(N, 3, 2, 2)), dtype=torch.uint8)
        labels = rng.integers(0, K, size=N)
        recipes = {
            f"recipe {n}": recipe_of(rng, order)
            for n, order in enumerate(("RGB", "BGR", "GRB", "RGB", "BRG"))
        }
        expected = {}
        for name, recipe in recipes.items():
            x = standardized(images.numpy(), recipe).reshape(N, -1)
            expected[name] = float(np.mean((x @ weight.T + bias).argmax(axis=1) == labels))
        got = assert_unchanged(student.compare_recipes, network, images, torch.tensor(labels), recipes)
        hint = "standardize the pictures as they came, with each recipe anew."
        assert_close(got, expected, what=f"the shares of {N} pictures", hint=hint)


@pytest.mark.question("compare_recipes", given=["standardize"])
def test_compare_recipes_float_pictures(student, rng):
    """Pictures in float32, and a dict whose names say nothing."""
    there = student.value("torch").nn
    network = there.Sequential(there.Flatten(), there.Linear(3, 3, False))
    network.load_state_dict({"1.weight": torch.eye(3)})
    values = rng.permuted(np.tile([20.0, 120.0, 220.0], (12, 1)), axis=1)
    images, labels = (
        torch.tensor(values, dtype=torch.float32).reshape(12, 3, 1, 1),
        torch.tensor(values.argmax(axis=1)),
    )
    plain = {"order": "RGB", "scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    recipes = {"x": plain, "": {**plain, "scale": -1.0}, "y": {**plain, "mean": (-900.0, 0.0, 0.0)}}
    expected = {"x": 1.0, "": 0.0, "y": float(np.mean(values.argmax(axis=1) == 0))}
    assert_close(student.compare_recipes(network, images, labels, recipes), expected, what="the shares")


# --- top_k_accuracy
@pytest.mark.question("top_k_accuracy", weight=3)
def test_top_k_accuracy_values(student, rng):
    """The share of examples with fewer than k logits above that of their label."""
    for N, K in ((30, 8), (1, 5), (7, 2), (50, 20)):
        z = rng.permuted(np.tile(rng.normal(scale=4, size=K), (N, 1)), axis=1) + rng.normal(size=(N, 1))
        labels = rng.integers(0, K, size=N)
        rank = (z > z[np.arange(N), labels][:, None]).sum(axis=1)
        for k in {1, 2, K // 2, K}:
            got = assert_unchanged(student.top_k_accuracy, torch.tensor(z), torch.tensor(labels), max(k, 1))
            what = f"the top-{k} accuracy of {N} examples and {K} classes"
            assert_close(got, float(np.mean(rank < max(k, 1))), what=what)


@pytest.mark.question("top_k_accuracy")
def test_top_k_accuracy_float32(student, rng):
    """Logits in float32 and of any size."""
    z = torch.tensor(rng.normal(scale=400, size=(40, 10)), dtype=torch.float32)
    labels = z.argsort(dim=1, descending=True)[torch.arange(40), torch.tensor(rng.integers(0, 4, size=40))]
    rank = (z > z.gather(1, labels[:, None])).sum(dim=1)
    for k in (1, 3, 4):
        expected = float((rank < k).double().mean())
        assert_close(student.top_k_accuracy(z, labels, k), expected, what=f"the top-{k} accuracy")


# --- surest_mistakes
@pytest.mark.question("surest_mistakes", weight=3)
def test_surest_mistakes_values(student, rng):
    """Wrong answers only, those with the most probable answer first."""
    for N, K, k in ((20, 5, 4), (12, 3, 12), (6, 2, 1), (40, 30, 10)):
        # A constant for each example: it changes logits and no probability.
        z = rng.normal(scale=2, size=(N, K)) + 50 * rng.normal(size=(N, 1))
        labels = rng.integers(0, K, size=N)
        confidence = softmax(z).max(axis=1)
        wrong = np.flatnonzero(z.argmax(axis=1) != labels)
        expected = wrong[np.argsort(-confidence[wrong])][:k]
        got = assert_unchanged(student.surest_mistakes, torch.tensor(z), torch.tensor(labels), k)
        hint = "Numbers of examples among all N, not among the wrong ones."
        assert_close(got, expected, what=f"the {k} surest mistakes of {N}", hint=hint)


@pytest.mark.question("surest_mistakes")
def test_surest_mistakes_none(student, rng):
    """Where everything is right, there is nothing to show."""
    z = rng.normal(size=(6, 4))
    got = student.surest_mistakes(torch.tensor(z), torch.tensor(z.argmax(axis=1)), 3)
    if not isinstance(got, torch.Tensor):
        fail("A tensor was expected.", value=got)
    assert_close(list(got.shape), [0], what="the shape where all answers are right")
