"""What check("...") runs: small examples worked by hand, and properties that any right answer has.

Networks are made beside your functions: `student.value("torch")` is your torch.
"""

import math

import numpy as np
import pytest
import torch

from autograder.checking import assert_close, assert_unchanged, fail


def tensor(value):
    """A float64 tensor from nested lists."""
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.question("resize_and_crop")
def test_resize_and_crop(student):
    """A picture of 8 x 12 pixels, halved to 4 x 6: the middle 4 x 4, three channels in front."""
    rows, columns = np.mgrid[:8, :12]
    image = np.stack([20 * rows, 15 * columns, np.full((8, 12), 100)], axis=2).astype(np.uint8)
    got = assert_unchanged(student.resize_and_crop, image, 4, 4)
    if not isinstance(got, torch.Tensor) or got.dtype != torch.float32 or tuple(got.shape) != (3, 4, 4):
        fail("A float32 tensor of shape (3, 4, 4) was expected.", value=got)
    # Each new pixel of a ramp is the mean of those under it; in the middle two rows that is exact.
    hint = "The shorter side gets 4 pixels, the longer one 6; of these the middle 4 stay."
    assert_close(
        got[0, 1:3], np.repeat([[50.0], [90.0]], 4, axis=1), atol=0.02, what="two rows of red", hint=hint
    )
    columns = np.array([15 * (2 * k + 0.5) for k in (1, 2, 3, 4)])
    assert_close(got[1], np.tile(columns, (4, 1)), atol=0.02, what="green", hint=hint)
    assert_close(
        got[2], np.full((4, 4), 100.0), atol=0.02, what="blue", hint="Numbers stay between 0 and 255."
    )


@pytest.mark.question("standardize")
def test_standardize(student):
    """One pixel, red 10, green 20, blue 40, in two conventions."""
    images = torch.tensor([10, 20, 40], dtype=torch.uint8).reshape(1, 3, 1, 1)
    recipe = {"order": "RGB", "scale": 0.1, "mean": (1.0, 1.0, 2.0), "std": (2.0, 4.0, 8.0)}
    got = assert_unchanged(student.standardize, images, recipe)
    assert_close(got, np.array([0.0, 0.25, 0.25]).reshape(1, 3, 1, 1), atol=1e-6, what="RGB")
    recipe = {"order": "BGR", "scale": 1.0, "mean": (30.0, 20.0, 5.0), "std": (1.0, 2.0, 5.0)}
    got = student.standardize(images, recipe)
    hint = "The channels in the network's order first; mean and std belong to that order."
    assert_close(got, np.array([10.0, 0.0, 1.0]).reshape(1, 3, 1, 1), atol=1e-6, what="BGR", hint=hint)


@pytest.mark.question("classify")
def test_classify(student):
    """The logits of seven examples in batches of three; then the network is in the mode in which it came."""
    x = torch.arange(14.0).reshape(7, 2)
    for mode in (True, False):
        witness = student.Witness()
        witness.train(mode)
        got = assert_unchanged(student.classify, witness, x, 3)
        assert_close(got, x.numpy(), what="the logits")
        expected = [[3, False, False], [3, False, False], [1, False, False]]
        hint = "model.eval(), torch.inference_mode(), images.split(batch_size)."
        what = "size, mode and record of each batch"
        assert_close([list(map(int, each)) for each in witness.seen], [list(map(int, e)) for e in expected],
                     what=what, hint=hint)  # fmt: skip
        if witness.training is not mode:
            fail("Afterwards the network is in another mode than before.", hint="Each module as it was.")


@pytest.mark.question("top_k")
def test_top_k(student):
    """Logits log 1, log 5, log 4: the two largest probabilities are 1/2 and 2/5."""
    logits = tensor([[0.0, math.log(5), math.log(4)], [math.log(8), 0.0, 0.0]])
    probabilities, classes = student.top_k(logits, 2)
    assert_close(
        probabilities[:, 0], np.array([0.5, 0.8]), what="the largest", hint="Softmax over all classes."
    )
    assert_close(probabilities[0], np.array([0.5, 0.4]), what="the two largest of the first example")
    assert_close(classes[0], np.array([1, 2]), what="their classes")


@pytest.mark.question("compare_recipes", given=["standardize"])
def test_compare_recipes(student):
    """A network that reads the class off the sign of red: right with one recipe, wrong with the other."""
    images = torch.zeros(4, 3, 1, 1)
    images[:, 0, 0, 0] = torch.tensor([0.0, 50.0, 200.0, 255.0])
    labels = torch.tensor([0, 0, 1, 1])
    recipe = {"order": "RGB", "scale": 1.0, "mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)}
    recipes = {
        "right": recipe,
        "wrong": {**recipe, "std": (-128.0, 128.0, 128.0)},
        "half": {**recipe, "mean": (-1.0, 0.0, 0.0)},
    }
    there = student.value("torch").nn
    network = there.Sequential(there.Flatten(), there.Linear(3, 2))
    network.load_state_dict({"1.weight": torch.tensor([[-1.0, 0, 0], [1.0, 0, 0]]), "1.bias": torch.zeros(2)})
    got = student.compare_recipes(network, images, labels, recipes)
    assert_close(got, {"right": 1.0, "wrong": 0.0, "half": 0.5}, what="the shares")


@pytest.mark.question("top_k_accuracy")
def test_top_k_accuracy(student):
    """Three examples: the right class is first, second and last."""
    logits = tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    labels = torch.tensor([0, 2, 1])
    for k, expected in ((1, 1 / 3), (2, 2 / 3), (3, 1.0)):
        assert_close(student.top_k_accuracy(logits, labels, k), expected, what=f"the accuracy for k = {k}")


@pytest.mark.question("surest_mistakes")
def test_surest_mistakes(student):
    """Of five answers three are wrong; the surest of them first."""
    logits = tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [9.0, 7.0], [0.0, 5.0]])
    labels = torch.tensor([0, 0, 0, 1, 1])
    hint = "By the probability of the answer: 9 against 7 is less sure than 3 against 0."
    assert_close(
        student.surest_mistakes(logits, labels, 2), np.array([2, 3]), what="the two surest", hint=hint
    )
    assert_close(
        student.surest_mistakes(logits, labels, 9), np.array([2, 3, 1]), what="all of them", hint=hint
    )


CONFIDENCE = [0.125, 0.5, 0.375, 0.875, 1.0, 0.75]
CORRECT = [False, True, False, True, True, False]


@pytest.mark.question("reliability")
def test_reliability(student):
    """Six answers in four bins, of which one is empty; 1/2 belongs to the bin that ends there."""
    got = student.reliability(tensor([0.125, 0.5, 0.375, 0.875, 1.0, 0.8125]), torch.tensor(CORRECT), 4)
    nan = math.nan
    expected = {
        "count": np.array([1, 2, 0, 3]),
        "confidence": np.array([0.125, 0.4375, nan, 2.6875 / 3]),
        "accuracy": np.array([0.0, 0.5, nan, 2 / 3]),
    }
    assert_close(got, expected, what="the bins", hint="Bin b: above b / B, up to (b + 1) / B.")


@pytest.mark.question("expected_calibration_error", given=["reliability"])
def test_expected_calibration_error(student):
    """Six answers in two bins: (3 |1/3 - 1/3| + 3 |2/3 - 7/8|) / 6."""
    confidence, correct = tensor([0.125, 0.5, 0.375, 0.875, 1.0, 0.75]), torch.tensor(CORRECT)
    got = student.expected_calibration_error(confidence, correct, 2)
    assert_close(
        got, (0.0 + 3 * (0.875 - 2 / 3)) / 6, what="the error", hint="Each bin counts by its examples."
    )
    got = student.expected_calibration_error(tensor([0.75, 1.0]), torch.tensor([True, True]), 10)
    assert_close(got, 0.125, what="the error where most bins are empty", hint="What is NaN does not count.")


@pytest.mark.question("fit_temperature")
def test_fit_temperature(student):
    """Logits 0 and 3, right in three cases of four: probabilities 1/4 and 3/4 are best, so T = 3 / log 3."""
    logits = tensor([[0.0, 3.0]] * 4)
    got = student.fit_temperature(logits, torch.tensor([1, 1, 0, 1]))
    if not isinstance(got, float) or not got > 0:
        fail("A positive number was expected.", value=got)
    hint = "p = softmax(logits / T); T is 1 over the factor of the logits."
    assert_close(math.log(got), math.log(3 / math.log(3)), rtol=0, atol=2e-3, what="log T", hint=hint)


def little_network(student):
    """Two layers with an activation between that overwrites; the weights are whole numbers."""
    there = student.value("torch").nn
    model = there.Sequential(there.Conv2d(1, 2, 1), there.ReLU(True), there.Flatten(), there.Linear(8, 3))
    model.load_state_dict(
        {
            "0.weight": torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1), "0.bias": torch.zeros(2),
            "3.weight": torch.arange(24.0).reshape(3, 8), "3.bias": torch.zeros(3),
        }
    )  # fmt: skip
    return model


@pytest.mark.question("features")
def test_features(student):
    """The outputs of a convolution, averaged over its places, and of a linear layer as they are."""
    x = torch.tensor([[1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 0.0, 4.0], [-1.0, 0.0, 0.0, 0.0]]).reshape(3, 1, 2, 2)
    model = little_network(student)
    got = assert_unchanged(student.features, model, "0", x, 2)
    hint = "The ReLU behind the layer overwrites its output: pool it in the hook."
    assert_close(
        got,
        np.array([[3.0, -3.0], [1.0, -1.0], [-0.25, 0.25]]),
        atol=1e-6,
        what="features of layer 0",
        hint=hint,
    )
    got = student.features(model, "3", x, 2)
    assert_close(got, model(x).detach().numpy(), rtol=1e-5, what="features of the last layer")
    count = student.builtin("len", model.get_submodule("0")._forward_hooks)
    assert_close(count, 0, what="the number of hooks left in the network", hint="handle.remove()")
