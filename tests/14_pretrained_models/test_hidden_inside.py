"""Whether probabilities may be believed, and the features inside of a network."""

import math

import numpy as np
import pytest
import torch

from autograder.checking import assert_close, assert_unchanged, fail

NAN = math.nan


def softmax(z):
    """Of each row."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# --- reliability
def binned(confidence, correct, num_bins):
    """The definition, one example at a time."""
    count, conf, acc = np.zeros(num_bins, dtype=np.int64), np.zeros(num_bins), np.zeros(num_bins)
    for p, right in zip(confidence, correct, strict=True):
        b = next(b for b in range(num_bins) if p <= (b + 1) / num_bins)
        count[b] += 1
        conf[b] += p
        acc[b] += right
    with np.errstate(invalid="ignore"):
        return {"count": count, "confidence": conf / count, "accuracy": acc / count}


def inner(rng, N, num_bins):
    """Confidences away from the borders of the bins."""
    return (rng.integers(0, num_bins, size=N) + rng.uniform(0.05, 0.95, size=N)) / num_bins


def whether_right(rng, N):
    """Some right, some wrong, where there are more than one."""
    return rng.permutation(np.arange(N) % 3 > 0)


@pytest.mark.question("reliability", weight=3)
def test_reliability_values(student, rng):
    """Counts, mean confidences and shares of right answers, for several numbers of bins."""
    for N, num_bins in ((60, 10), (200, 15), (5, 3), (30, 1)):
        p, right = inner(rng, N, num_bins), whether_right(rng, N)
        got = assert_unchanged(student.reliability, torch.tensor(p), torch.tensor(right), num_bins)
        expected = binned(p, right, num_bins)
        assert_close(got, expected, what=f"the {num_bins} bins of {N} answers", hint="Means within each bin.")


@pytest.mark.question("reliability")
def test_reliability_borders(student):
    """A confidence on a border belongs to the bin below; 0 to the first and 1 to the last."""
    p, right = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.0]), np.array([True, False, True, True, False, True])
    got = student.reliability(torch.tensor(p), torch.tensor(right), 4)
    hint = "Bin b: above b / B, up to and including (b + 1) / B."
    assert_close(got, binned(p, right, 4), what="the bins of confidences on their borders", hint=hint)


@pytest.mark.question("reliability")
def test_reliability_empty_bins(student, rng):
    """A bin without examples has the count 0, and NaN for its confidence and its accuracy."""
    p, right = rng.uniform(0.91, 0.99, size=7), whether_right(rng, 7)
    got = student.reliability(torch.tensor(p), torch.tensor(right), 10)
    assert_close(got, binned(p, right, 10), what="the bins where nine are empty")
    got = student.reliability(torch.tensor(p[:1]), torch.tensor(right[:1]), 2)
    assert_close(got, binned(p[:1], right[:1], 2), what="the bins of a single answer")


@pytest.mark.question("reliability")
def test_reliability_defaults(student, rng):
    """Ten bins by default, and float32 will do."""
    p, right = inner(rng, 50, 10), whether_right(rng, 50)
    got = student.reliability(torch.tensor(p, dtype=torch.float32), torch.tensor(right))
    expected = binned(p, right, 10)
    assert_close(got, expected, rtol=1e-4, atol=1e-5, what="the bins")


# --- expected_calibration_error
@pytest.mark.question("expected_calibration_error", weight=3, given=["reliability"])
def test_expected_calibration_error_values(student, rng):
    """The distances of the bins, weighted with their numbers of examples."""
    for N, num_bins in ((40, 10), (200, 15), (6, 4), (30, 1)):
        p, right = inner(rng, N, num_bins), whether_right(rng, N)
        bins = binned(p, right, num_bins)
        expected = float(np.nansum(bins["count"] * np.abs(bins["accuracy"] - bins["confidence"])) / N)
        got = assert_unchanged(
            student.expected_calibration_error, torch.tensor(p), torch.tensor(right), num_bins
        )
        hint = "The sum over bins of (n_b / N) |acc_b - conf_b|."
        assert_close(got, expected, what=f"the error of {N} answers in {num_bins} bins", hint=hint)


@pytest.mark.question("expected_calibration_error", given=["reliability"])
def test_expected_calibration_error_both_signs(student):
    """A bin above the diagonal does not make up for one below it; empty bins add nothing."""
    p, right = torch.tensor([0.25, 0.25, 0.875, 0.875]).double(), torch.tensor([True, False, False, True])
    got = student.expected_calibration_error(p, right)
    assert_close(got, (0.25 + 0.375) / 2, what="the error of one bin too modest and one too sure")
    perfect = student.expected_calibration_error(torch.ones(5).double(), torch.ones(5, dtype=torch.bool), 7)
    assert_close(perfect, 0.0, what="the error of five sure and right answers")


# --- fit_temperature
def answers(rng, N, K, temperature):
    """Logits whose probabilities are true at about this temperature, and labels drawn with these."""
    z = rng.normal(scale=2, size=(N, K))
    labels = np.array([rng.choice(K, p=row) for row in softmax(z)])
    labels[0] = z[0].argmin()
    return z * temperature, labels


def loss(z, labels, temperature):
    """The mean cross-entropy of softmax(z / temperature)."""
    z = z / temperature
    z = z - z.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]))


def best_temperature(z, labels):
    """By golden sections of its logarithm: the loss falls and then rises."""
    low, high, ratio = math.log(0.005), math.log(200), (math.sqrt(5) - 1) / 2
    for _ in range(80):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(z, labels, math.exp(left)) < loss(z, labels, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


@pytest.mark.question("fit_temperature", weight=3)
@pytest.mark.parametrize("how", ["too sure", "too modest", "about right"])
def test_fit_temperature_values(student, rng, how):
    """The temperature of the lowest cross-entropy, for networks that are too sure and too modest."""
    for N, K in ((60, 5), (200, 3), (40, 20)):
        true = {"too sure": rng.uniform(3, 8), "too modest": rng.uniform(0.1, 0.3), "about right": 1.0}[how]
        z, labels = answers(rng, N, K, true)
        got = assert_unchanged(student.fit_temperature, torch.tensor(z), torch.tensor(labels))
        if isinstance(got, torch.Tensor | np.ndarray) and np.asarray(got).size == 1:
            got = float(got)
        if not isinstance(got, int | float) or not 0 < got < math.inf:
            fail("A positive number was expected.", value=got)
        expected = best_temperature(z, labels)
        # By its logarithm: a temperature that is too high by a factor is as wrong as one too low by it.
        hint = "The lowest mean cross-entropy of softmax(logits / T); fine steps, also for small T."
        what = f"log T, where T should be {expected:.4g}"
        assert_close(math.log(got), math.log(expected), rtol=0, atol=2e-3 / max(1, abs(math.log(expected))),
                     what=what, hint=hint)  # fmt: skip


@pytest.mark.question("fit_temperature")
def test_fit_temperature_real_logits(student, rng, data):
    """On what the network said about photographs, a hundred of them at random."""
    said = data("imagenet_logits")
    some = rng.permutation(len(said.x_train))[:100]
    factor = float(rng.uniform(0.5, 2))
    z, labels = factor * said.x_train[some].astype(np.float64), said.y_train[some]
    got = student.fit_temperature(torch.tensor(z, dtype=torch.float32), torch.tensor(labels))
    if isinstance(got, torch.Tensor | np.ndarray) and np.asarray(got).size == 1:
        got = float(got)
    if not isinstance(got, int | float) or not 0 < got < math.inf:
        fail("A positive number was expected.", value=got)
    expected = best_temperature(z, labels)
    assert_close(
        math.log(got), math.log(expected), rtol=0, atol=2e-3, what=f"log T, where T should be {expected:.4g}"
    )


# --- features
def weights_like(rng, value, positive):
    """Random numbers in the shape of `value`, of either sign unless `positive`; counters stay."""
    if not value.is_floating_point():
        return value
    sign = 1 if positive else rng.choice([-1, 1], size=tuple(value.shape))
    return torch.tensor(sign * rng.uniform(0.3, 2, size=tuple(value.shape)))


def convolutional(student, rng):
    """A network with everything in it: batch normalisation, overwriting activations, one layer used twice."""
    there = student.value("torch").nn
    twice = there.Tanh()
    body = there.Sequential(there.Conv2d(2, 3, 3, 1, 1), there.BatchNorm2d(3), there.ReLU(True), twice)
    model = there.Sequential(
        body,
        there.Conv2d(3, 4, 2),
        twice,
        there.Flatten(),
        there.Dropout(0.5),
        there.Linear(48, 5),
        there.ReLU(True),
    ).double()
    state = student.builtin("dict", model.state_dict())
    filled = {name: weights_like(rng, value, positive="var" in name) for name, value in state.items()}
    model.load_state_dict(filled)
    return model, filled


def passes(x, state):
    """The output of each layer in eval mode, by its name."""
    F = torch.nn.functional
    found = {"0.0": F.conv2d(x, state["0.0.weight"], state["0.0.bias"], padding=1)}
    found["0.1"] = F.batch_norm(
        found["0.0"],
        state["0.1.running_mean"],
        state["0.1.running_var"],
        state["0.1.weight"],
        state["0.1.bias"],
    )
    found["0.2"] = found["0.1"].relu()
    found["0"] = found["0.2"].tanh()
    found["1"] = F.conv2d(found["0"], state["1.weight"], state["1.bias"])
    found["2"] = found["0.3"] = found["1"].tanh()
    found["3"] = found["4"] = found["2"].flatten(1)
    found["5"] = found["3"] @ state["5.weight"].T + state["5.bias"]
    found["6"] = found[""] = found["5"].relu()
    return {
        name: (value.mean(dim=(2, 3)) if value.ndim == 4 else value).numpy() for name, value in found.items()
    }


def hooks_of(student, model):
    """How many forward hooks there are in the network."""
    modules = student.builtin("list", model.modules())
    return sum(student.builtin("len", module._forward_hooks) for module in modules)


def featured(student, model, layer, x, *batch_size):
    """What features gives, if it is a tensor."""
    got = assert_unchanged(student.features, model, layer, torch.tensor(x), *batch_size)
    if not isinstance(got, torch.Tensor):
        fail("features should return a tensor.", value=got)
    if got.requires_grad:
        fail("The features still have a record for a backward pass.", hint="with torch.inference_mode():")
    return got


@pytest.mark.question("features", weight=4)
def test_features_values(student, rng):
    """Any layer by its name: maps are averaged over their places, rows stay as they are."""
    model, state = convolutional(student, rng)
    for N, batch_size in ((5, 2), (4, 4), (1, 3)):
        x = rng.normal(size=(N, 2, 4, 5))
        expected = passes(torch.tensor(x), state)
        for layer in ("0", "0.2", "1", "3", "6"):
            what = f"the features of {N} pictures at layer {layer!r} in batches of {batch_size}"
            hint = "The mean over the last two axes of a map; all batches, in order."
            assert_close(
                featured(student, model, layer, x, batch_size), expected[layer], what=what, hint=hint
            )


@pytest.mark.question("features", weight=2)
def test_features_overwritten(student, rng):
    """The output is as the layer gave it, also where the next one overwrites it in place."""
    model, state = convolutional(student, rng)
    x = rng.normal(size=(4, 2, 4, 5))
    expected = passes(torch.tensor(x), state)
    for layer in ("0.1", "5"):
        hint = "Pool or clone the output inside of the hook."
        what = f"the features at layer {layer!r}, whose output a ReLU overwrites"
        assert_close(featured(student, model, layer, x, 3), expected[layer], what=what, hint=hint)


@pytest.mark.question("features")
def test_features_used_twice(student, rng):
    """Of a layer that occurs twice in a pass the last output counts, once for each picture."""
    model, state = convolutional(student, rng)
    x = rng.normal(size=(5, 2, 4, 5))
    expected = passes(torch.tensor(x), state)
    hint = "Let a later call of the hook overwrite what an earlier one kept."
    got = featured(student, model, "0.3", x, 2)
    assert_close(got, expected["0.3"], what="the features at a shared layer", hint=hint)


@pytest.mark.question("features")
def test_features_mode(student, rng):
    """In eval mode, whatever the mode before; afterwards each module is in its own mode again."""
    for which in ((), ("0.1",), ("", "0", "0.0", "0.1", "0.2", "0.3", "1", "3", "4", "5", "6")):
        model, state = convolutional(student, rng)
        model.train(True)
        for name in which:
            (model.get_submodule(name) if name else model).training = False
        before = [int(module.training) for module in student.builtin("list", model.modules())]
        x = rng.normal(size=(3, 2, 4, 5))
        expected = passes(torch.tensor(x), state)["5"]
        assert_close(
            featured(student, model, "5", x, 2), expected, what="the features of a network in training mode"
        )
        after = [int(module.training) for module in student.builtin("list", model.modules())]
        assert_close(
            after, before, what="the modes of the modules (1: training)", hint="Put back each module's own."
        )
        for name, value in student.builtin("dict", model.state_dict()).items():
            assert_close(value, state[name].numpy(), rtol=0, atol=0, what=f"{name} afterwards")


@pytest.mark.question("features", weight=2)
def test_features_hooks(student, rng):
    """No hook is left behind, and one that was there before stays."""
    model, state = convolutional(student, rng)
    x = rng.normal(size=(3, 2, 4, 5))
    for layer in ("0", "5", "0.3"):
        featured(student, model, layer, x, 2)
        hint = "handle = module.register_forward_hook(f), and in the end handle.remove()."
        assert_close(
            hooks_of(student, model), 0, what=f"the number of hooks after features at {layer!r}", hint=hint
        )
    model.get_submodule("5").register_forward_hook(student.Witness().listen)
    expected = passes(torch.tensor(x), state)["5"]
    assert_close(featured(student, model, "5", x, 2), expected, what="the features beside another hook")
    assert_close(hooks_of(student, model), 1, what="the number of hooks, of which one was there before")


@pytest.mark.question("features")
def test_features_batches(student, rng):
    """Every picture goes through once, in full batches but for the last; 32 by default."""
    witness = student.Witness()
    x = rng.normal(size=(70, 2, 2))
    assert_close(
        featured(student, witness, "", x), x.reshape(70, 4), what="the features of the whole network"
    )
    hint = "One pass for each of images.split(batch_size), in eval mode, without a record."
    seen = [[int(part) for part in each] for each in witness.seen]
    assert_close(
        seen, [[32, 0, 0], [32, 0, 0], [6, 0, 0]], what="number, mode and record of each batch", hint=hint
    )


@pytest.mark.question("features")
def test_features_pretrained(student, reference, rng):
    """The 1,280 features of EfficientNet-Lite0 for three small pictures."""
    x = torch.tensor(rng.uniform(-1, 1, size=(3, 3, 64, 64)), dtype=torch.float32)
    with torch.inference_mode():
        expected = reference.backbone.extract_features(x).mean(dim=(2, 3)).numpy()
    got = student.features(student.value("backbone"), "_avg_pooling", x, 2)
    if not isinstance(got, torch.Tensor):
        fail("features should return a tensor.", value=got)
    assert_close(got, expected, rtol=1e-3, atol=1e-4, what="the features behind the pooling")
