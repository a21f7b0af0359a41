"""Training, saving, loading, predicting; and the model that was handed in, on pictures that nobody has seen.

What is built on another function of the student's is asked in a way that does without it: an error is paid
for once.
"""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from autograder.checking import CheckFailure, StudentError, assert_classified, assert_close, fail
from autograder.datasets import load_dataset
from autograder.notebook.weights import WeightsError, kind_of

SIZE, MAX_NUMBERS = 32, 100_000
CLASSES = ("fresh apple", "fresh banana", "fresh orange", "rotten apple", "rotten banana", "rotten orange")
SHIFT = 0.5
"""How much the hidden pictures differ from those to train on."""


def seeded(student, rng):
    """Torch where the student's code runs begins at a number that nobody knows."""
    there = student.value("torch")
    there.manual_seed(int(rng.integers(2**31)))
    return there


# --- train_model
def small_net(there, rng, *, drop=0.0, norm=True):
    """A small network where the student's code runs: pictures (N, 3, 4, 4), three classes."""
    layers = [there.nn.Flatten(), there.nn.Linear(48, 16)]
    layers += [there.nn.BatchNorm1d(16)] if norm else []
    layers += [there.nn.ReLU(), there.nn.Dropout(drop), there.nn.Linear(16, 3)]
    return there.nn.Sequential(*layers)


def easy(rng, count, noise=0.15):
    """Pictures of three classes that a small network can tell apart, and their labels."""
    y = rng.permutation(np.arange(count) % 3)
    x = 0.2 + noise * rng.random(size=(count, 3, 4, 4))
    x[np.arange(count), y] += 0.35
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def shares(history, epochs):
    """The two lists of a history, as arrays of one number for each epoch."""
    if not isinstance(history, dict) or not {"train_loss", "val_accuracy"} <= history.keys():
        fail('A dict with "train_loss" and "val_accuracy" is expected.', value=history)
    lists = []
    for name in ("train_loss", "val_accuracy"):
        values = np.asarray(history[name], dtype=float)
        assert_close(list(values.shape), [epochs], what=f"the shape of history[{name!r}]")
        lists.append(values)
    return lists


def accuracy_of(model, x, y):
    """The share that is right, in eval mode."""
    model.eval()
    return float((model(x).argmax(dim=1) == y).double().mean())


@pytest.mark.question("train_model", weight=2)
def test_training_learns(student, rng):
    """A small network learns three classes: the loss falls, and unseen examples are right."""
    there = seeded(student, rng)
    model = small_net(there, rng)
    x, y = easy(rng, 192)
    x_val, y_val = easy(rng, 60)
    losses, accuracies = shares(student.train_model(model, x, y, x_val, y_val, 12, 0.02), 12)
    if not losses[-1] < 0.6 * losses[0]:
        fail(f"The training loss goes from {losses[0]:.3g} to {losses[-1]:.3g} in 12 epochs.")
    if accuracies.max() < 0.9 or accuracy_of(model, x_val, y_val) < 0.9:
        fail(f"Only {accuracies.max():.0%} of the validation examples are right.", expected="at least 90%")


@pytest.mark.question("train_model", weight=3)
def test_training_keeps_the_best(student, rng):
    """The model ends with the weights of its best epoch, where later ones were worse."""
    there = seeded(student, rng)
    for _ in range(2):
        model = small_net(there, rng)
        x, y = easy(rng, 120, noise=0.5)
        # What is learned is wrong for validation: the longer it trains, the fewer of these are right.
        wrong = torch.where(torch.tensor(rng.random(size=len(y))) < 0.9, (y + 1) % 3, y)
        _, accuracies = shares(student.train_model(model, x, y, x, wrong, 8, 0.02), 8)
        hint = "A deep copy of the state_dict at each new best, and load_state_dict at the end."
        what = "the validation accuracy of the model that is left"
        reached = accuracy_of(model, x, wrong)
        assert_close(reached, accuracies.max(), rtol=0, atol=1e-4, what=what, hint=hint)


@pytest.mark.question("train_model", weight=2)
def test_training_restores_buffers(student, rng):
    """The running averages of batch normalisation are those of the best epoch, too."""
    there = seeded(student, rng)
    model = there.nn.Sequential(there.nn.Flatten(), there.nn.BatchNorm1d(48), there.nn.Linear(48, 3))
    x, y = easy(rng, 96, noise=0.5)
    _, accuracies = shares(student.train_model(model, x, y, x, (y + 1) % 3, 6, 0.05), 6)
    seen = int(student.builtin("dict", model.state_dict())["1.num_batches_tracked"])
    best = int(np.argmax(accuracies)) + 1
    per_epoch = {len(x) // 64, -(-len(x) // 64)}
    if seen not in {best * batches for batches in per_epoch}:
        fail(f"The best epoch was number {best}, but batch normalisation has seen {seen} batches.",
             expected=" or ".join(str(best * batches) for batches in sorted(per_epoch)),
             hint="state_dict() has the buffers as well; parameters() has not.")  # fmt: skip


@pytest.mark.question("train_model")
def test_training_of_several_equal_epochs(student, rng):
    """Of several epochs with the same accuracy the first one counts."""
    there = seeded(student, rng)
    model = there.nn.Sequential(there.nn.Flatten(), there.nn.BatchNorm1d(48), there.nn.Linear(48, 3))
    # The last class is never predicted, and all validation examples are of it.
    model.load_state_dict({"2.bias": torch.tensor([0.0, 0.0, -1000.0])}, strict=False)
    x, y = easy(rng, 192, noise=0.5)
    x, y = x[y < 2], y[y < 2]
    last = torch.full((30,), 2)
    _, accuracies = shares(student.train_model(model, x, y, x[:30], last, 4, 0.02), 4)
    assert_close(accuracies, np.zeros(4), what='history["val_accuracy"], where none is right')
    seen = int(student.builtin("dict", model.state_dict())["1.num_batches_tracked"])
    if seen != 2:
        fail(f"No validation example was ever right, and the model is that of batch {seen}.",
             expected="that of the first epoch, after 2 batches",
             hint="accuracy > best, with a best below 0 at first")  # fmt: skip


@pytest.mark.question("train_model", weight=2)
def test_training_validates_in_eval_mode(student, rng):
    """Dropout acts in training, never in validation; and the model is left in eval mode."""
    there = seeded(student, rng)
    model = small_net(there, rng, drop=0.9)
    x, y = easy(rng, 192)
    _, accuracies = shares(student.train_model(model, x, y, x, y, 10, 0.02), 10)
    if model.training:
        fail("The model is left in training mode.", hint="model.eval() at the end.")
    reached = accuracy_of(model, x, y)
    hint = "model.eval() before each validation, model.train() before each epoch."
    assert_close(accuracies.max(), reached, rtol=0, atol=1e-4, what="the best val_accuracy", hint=hint)
    everything = there.nn.Sequential(there.nn.Flatten(), there.nn.Dropout(1.0), there.nn.Linear(48, 3))
    before = student.builtin("dict", everything.state_dict())["2.weight"].numpy().copy()
    everything.eval()
    student.train_model(everything, x, y, x, y, 3, 0.01)
    after = student.builtin("dict", everything.state_dict())["2.weight"].numpy()
    # Behind a dropout of everything there is no gradient: only weight decay may move a weight.
    ratio = after.ravel() @ before.ravel() / (before.ravel() @ before.ravel())
    rest = after - ratio * before
    if np.abs(rest).max() > 1e-4 or not 0.5 < ratio < 1.0001:
        fail("Weights behind a dropout of everything have been trained.", hint=hint)


@pytest.mark.question("train_model", weight=2)
def test_training_augments(student, rng):
    """Each training batch is augmented, and no validation picture."""
    there = seeded(student, rng)
    x, y = easy(rng, 192)
    x_val, y_val = easy(rng, 90)
    blind = small_net(there, rng)
    losses, _ = shares(student.train_model(blind, x, y, x_val, y_val, 6, 0.02, there.zeros_like), 6)
    if losses.min() < 0.95 * np.log(3):
        fail("With an augmentation that blackens every picture, the training loss falls all the same.",
             got=f"{losses.min():.3g}", expected=f"about log 3 = {np.log(3):.3g}",
             hint="images = augment(images), for every training batch.")  # fmt: skip
    # What has learned negatives takes each picture for anything but what it is.
    linear = there.nn.Sequential(there.nn.Flatten(), there.nn.Linear(48, 3))
    _, accuracies = shares(student.train_model(linear, x, y, x_val, y_val, 10, 0.05, there.neg), 10)
    if accuracies[-1] > 0.4:
        fail("With negatives to train on, the validation pictures are classified right.",
             got=f"{accuracies[-1]:.0%} right", hint="No augmentation of validation pictures.")  # fmt: skip


@pytest.mark.question("train_model", weight=2)
def test_training_shuffles(student, rng):
    """Every example is used in each epoch, in an order that changes: sorted data are learned as well."""
    there = seeded(student, rng)
    x, y = easy(rng, 192)
    order = torch.argsort(y, stable=True)
    x, y = x[order], y[order]
    model = small_net(there, rng)
    kept = x.clone(), y.clone()
    _, after = student.train_model.after(model, x, y, x, y, 8, 0.02)
    if accuracy_of(model, x, y) < 0.9:
        fail("Data that are sorted by class are not learned.", hint="torch.randperm(len(x)) in each epoch.")
    for name, before, now in zip(("x", "y"), kept, after[1:3], strict=True):
        assert_close(now, before.numpy(), rtol=0, atol=0, what=f"{name} after training")


def one_picture(there, rng, count, weights):
    """(model, x): a linear model with this state, and a picture `count` times over."""
    model = there.nn.Sequential(there.nn.Flatten(), there.nn.Linear(48, len(weights["1.bias"])))
    model.load_state_dict(weights)
    x = torch.tensor(rng.uniform(0.2, 0.55, size=(1, 3, 4, 4)), dtype=torch.float32)
    return model, x.repeat(count, 1, 1, 1)


@pytest.mark.question("train_model")
def test_training_moves_by_the_rates(student, reference, rng):
    """Each weight moves by the rates of the steps so far, where all gradients point the same way."""
    there = seeded(student, rng)
    weights = torch.tensor(rng.uniform(-0.1, 0.1, size=(2, 48)), dtype=torch.float32)
    before = {"1.weight": weights, "1.bias": torch.tensor([0.0, -5.0])}
    model, x = one_picture(there, rng, 32, before)
    ones, zeros = torch.ones(32, dtype=torch.int64), torch.zeros(32, dtype=torch.int64)
    # Validation is right from the start, so that the first of three epochs is kept: four steps of twelve.
    shares(student.train_model(model, x, ones, x, zeros, 3, 1e-4, None, 8), 3)
    after = student.builtin("dict", model.state_dict())["1.weight"]
    moved = float((after - weights).abs().median()) / 1e-4
    expected = sum(reference.rate_at(step, 12, 1.0) for step in (1, 2, 3, 4))
    what = "the way of a weight after 4 of 12 steps of AdamW, in multiples of the peak"
    hint = "rate_at(step, steps, peak): step counts the batches of all epochs from 1, steps is how many."
    assert_close(moved, expected, rtol=0.05, what=what, hint=hint)


@pytest.mark.question("train_model")
def test_training_forgets_old_gradients(student, rng):
    """Two classes of the same picture end equally probable: no gradient of an earlier step pushes on."""
    there = seeded(student, rng)
    before = {"1.weight": torch.zeros(2, 48), "1.bias": torch.tensor([2.0, -2.0])}
    model, x = one_picture(there, rng, 2560, before)
    y = torch.arange(len(x)) % 2
    shares(student.train_model(model, x, y, x[:8], y[:8], 1, 0.02), 1)
    logits = model(x[:1]).detach().numpy()[0]
    if abs(logits[0] - logits[1]) > 2:
        fail("The same picture has two labels, equally often, but one class wins by far.",
             expected="two nearly equal logits", got=str(logits),
             hint="optimizer.zero_grad() before each backward()")  # fmt: skip


@pytest.mark.question("train_model")
def test_training_follows_the_schedule(student, rng):
    """With a peak of 0 nothing moves, and batches may be of any size."""
    there = seeded(student, rng)
    x, y = easy(rng, 50)
    model = small_net(there, rng, norm=False)
    before = student.builtin("dict", model.state_dict())
    student.train_model(model, x, y, x, y, 2, 0.0, None, 16)
    after = student.builtin("dict", model.state_dict())
    for name in before:
        assert_close(after[name], before[name].numpy(), rtol=0, atol=0, what=f"{name} with a peak of 0")
    shares(student.train_model(model, x, y, x, y, 3, 0.02, batch_size=7), 3)
    if accuracy_of(model, x, y) < 0.6:
        fail("With batches of 7 nothing is learned in three epochs.", expected="at least 60% right")
    undecided, x = one_picture(there, rng, 50, {"1.weight": torch.zeros(3, 48), "1.bias": torch.zeros(3)})
    losses, _ = shares(student.train_model(undecided, x, y, x, y, 2, 0.0, None, 16), 2)
    what = "train_loss of three equal logits with a peak of 0: log 3, for every batch"
    hint = "The mean of the batches' losses, not their sum."
    assert_close(losses, np.full(2, np.log(3)), rtol=1e-4, what=what, hint=hint)


# --- save_model, load_model
def filled_net(student, rng):
    """A network of the student's with values in all of its state that no initialisation gives."""
    mean = torch.tensor(rng.uniform(0.3, 0.6, size=3), dtype=torch.float32)
    std = torch.tensor(rng.uniform(0.2, 0.4, size=3), dtype=torch.float32)
    model = student.FruitNet(mean, std, 6)
    state = student.builtin("dict", model.state_dict())
    changed = {}
    for name, tensor in state.items():
        if tensor.is_floating_point() and name not in ("mean", "std"):
            factor = torch.tensor(rng.uniform(0.8, 1.25, size=tuple(tensor.shape)), dtype=tensor.dtype)
            changed[name] = tensor * factor + (0.05 if tensor.ndim == 1 else 0.0)
        else:
            changed[name] = tensor
    model.load_state_dict(changed)
    model.eval()
    return model


def some_pictures(rng, count=4):
    return torch.tensor(rng.random(size=(count, 3, SIZE, SIZE)), dtype=torch.float32)


def content_of(student, path):
    """The bytes of a file that the student's code has written."""
    content = student.value("Path")(path).read_bytes()
    student.events.pop()  # the bytes of every network are others, also where the same mistake wrote them
    return content


def same_logits(model, other, x, what, hint=""):
    """Two models answer the same, as nearly as half precision allows."""
    other.eval()
    assert_close(other(x), model(x).detach().numpy(), rtol=1e-2, atol=1e-2, what=what, hint=hint)


@pytest.mark.question("save_model", weight=2, given=["normalize"])
def test_save_writes_plain_weights(student, rng):
    """The file holds numbers and names, nothing that would be called when it is opened."""
    seeded(student, rng)
    path = f"{student.folder()}/model.pt"
    student.save_model(filled_net(student, rng), path)
    content = content_of(student, path)
    hint = "torch.save(model.state_dict(), path)"
    try:
        kind_of(content)
    except WeightsError as error:
        fail(f"The file would be refused: it {error}.", hint=hint)
    if len(content) > 2 << 20:
        fail(f"The file has {len(content) >> 20} MB for at most 100,000 numbers.", hint=hint)


@pytest.mark.question("save_model", weight=2, given=["normalize"])
def test_save_writes_everything(student, rng):
    """Everything that the model consists of is in the file, buffers as well."""
    there = seeded(student, rng)
    path = f"{student.folder()}/weights.pt"
    model, x = filled_net(student, rng), some_pictures(rng)
    student.save_model(model, path)
    other = student.FruitNet(torch.zeros(3), torch.ones(3), 6)
    try:  # a state_dict, whatever load_model makes of it
        other.load_state_dict(there.load(path, weights_only=True))
    except StudentError:
        other = student.load_model(path)  # a form of the student's own
    hint = "The whole state_dict: parameters() lacks the buffers."
    same_logits(model, other, x, "the logits of a network with the saved numbers", hint)


def saved(student, rng):
    """(model, path): a file by save_model, or by torch itself where load_model cannot read that."""
    there = student.value("torch")
    model = filled_net(student, rng)
    path = f"{student.folder()}/model.pt"
    try:
        student.save_model(model, path)
        student.load_model(path)
    except StudentError:
        there.save(model.state_dict(), path)
    return model, path


@pytest.mark.question("load_model", weight=3, given=["normalize"])
def test_load_restores(student, rng):
    """A loaded model gives the logits of the saved one: weights, running averages, mean and std."""
    there = seeded(student, rng)
    model, path = saved(student, rng)
    x = some_pictures(rng)
    loaded = student.load_model(path)
    try:
        same_logits(model, loaded, x, "the logits of the loaded model")
    except CheckFailure:
        there.save(model.state_dict(), path)
        hint = "load_state_dict(torch.load(path, weights_only=True))"
        same_logits(model, student.load_model(path), x, "the logits of the loaded model", hint)


@pytest.mark.question("load_model", given=["normalize"])
def test_load_gives_eval_mode(student, rng):
    """The loaded model is in eval mode."""
    seeded(student, rng)
    _, path = saved(student, rng)
    model = student.load_model(path)
    if model.training is not False:
        fail("The loaded model is in training mode.", hint="model.eval()")
    x = some_pictures(rng)
    assert_close(model(x), model(x).detach().numpy(), rtol=0, atol=0, what="the logits of a second call")


@pytest.mark.question("load_model", given=["normalize"])
def test_load_refuses_what_does_not_fit(student, rng):
    """A file in which something is missing, or has another shape, is an error and no half-filled model."""
    there = seeded(student, rng)
    model, _ = saved(student, rng)
    state = student.builtin("dict", model.state_dict())
    path = f"{student.folder()}/half.pt"
    last = [name for name, tensor in state.items() if tensor.ndim > 1][-1]
    missing = {name: tensor for name, tensor in state.items() if name != last}
    for what, wrong in (
        ("lacks a weight", missing),
        ("has another shape", {**state, last: state[last][:, 1:]}),
    ):
        there.save(wrong, path)
        try:
            student.load_model(path)
        except StudentError:
            continue
        fail(f"A file that {what} is loaded without an error.", hint="load_state_dict is strict by itself.")


class Calling(dict):
    """Weights that ask for a call (a harmless one) when their pickle is opened."""

    def __reduce__(self):
        return copy.copy, (dict(self),)


@pytest.mark.question("load_model", given=["normalize"])
def test_load_calls_nothing(student, rng):
    """A file with the right weights in it that would call a function is an error."""
    seeded(student, rng)
    model, _ = saved(student, rng)
    file = io.BytesIO()
    torch.save(Calling(student.builtin("dict", model.state_dict())), file)
    path = f"{student.folder()}/model.pt"
    student.value("Path")(path).write_bytes(file.getvalue())
    student.events.pop()  # how long the file is depends on the network
    try:
        student.load_model(path)
    except StudentError:
        return
    fail("A file that calls a function of its author's choice was opened.",
         hint="torch.load(path, weights_only=True)")  # fmt: skip


@pytest.mark.question("load_model", given=["normalize"])
def test_load_reads_the_submitted_file(student):
    """Your file loads, and what comes out takes pictures and gives six logits."""
    model = student.load_model(student.file("weights"))
    model.eval()
    logits = model(torch.zeros(2, 3, SIZE, SIZE))
    assert_close(list(logits.shape), [2, len(CLASSES)], what="the shape of the logits of two pictures")


# --- predict
def answering_net(student, rng):
    """A model without a class of the student's: logits that depend on a picture's colours, and on dropout."""
    there = student.value("torch")
    layers = there.nn.AdaptiveAvgPool2d(2), there.nn.Flatten(), there.nn.Dropout(0.5), there.nn.Linear(12, 6)
    model = there.nn.Sequential(*layers)
    weight = torch.tensor(rng.normal(scale=4, size=(6, 12)), dtype=torch.float32)
    bias = torch.tensor(rng.normal(size=6), dtype=torch.float32)
    model.load_state_dict({"3.weight": weight, "3.bias": bias})
    here = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 6))
    here.load_state_dict({"2.weight": weight, "2.bias": bias})
    # Only now: both were initialised at random, in one process or in two.
    seeded(student, rng)
    return model, here


def expected_proba(reference, here, images):
    with torch.inference_mode():
        return torch.softmax(here(reference.preprocess(images)), dim=1).numpy()


def bytes_of(rng, count, height=SIZE, width=SIZE):
    """Pictures with a colour of their own each."""
    tint = rng.integers(0, 200, size=(count, 3, 1, 1))
    return (tint + rng.integers(0, 56, size=(count, 3, height, width))).astype(np.uint8)


@pytest.mark.question("predict", weight=3, given=["preprocess"])
def test_probabilities(student, reference, rng):
    """The probabilities are the softmax of the logits, for pictures of any size."""
    model, here = answering_net(student, rng)
    model.eval()
    for count, size in ((5, (SIZE, SIZE)), (1, (SIZE, SIZE)), (3, (60, 48))):
        images = bytes_of(rng, count, *size)
        proba = student.predict_proba(model, images)
        hint = "Preprocess, logits in eval mode, softmax over the classes."
        what = f"the probabilities of {count} pictures of {size[0]} x {size[1]}"
        assert_close(
            proba, expected_proba(reference, here, images), rtol=1e-3, atol=1e-4, what=what, hint=hint
        )


@pytest.mark.question("predict", weight=2, given=["preprocess"])
def test_probabilities_in_eval_mode(student, reference, rng):
    """Also a model that was left in training mode is asked in eval mode."""
    model, here = answering_net(student, rng)
    model.train(True)
    images = bytes_of(rng, 6)
    expected = expected_proba(reference, here, images)
    hint = "model.eval() before the forward pass."
    assert_close(student.predict_proba(model, images), expected, rtol=1e-3, atol=1e-4, hint=hint,
                 what="the probabilities of a model in training mode")  # fmt: skip


@pytest.mark.question("predict", weight=2, given=["preprocess"])
def test_predictions(student, reference, rng):
    """The class is the most probable one: a whole number for each picture."""
    model, here = answering_net(student, rng)
    for count in (40, 1):
        images = bytes_of(rng, count)
        labels = student.predict(model, images)
        expected = expected_proba(reference, here, images).argmax(axis=1)
        assert_close(labels, expected, what="the classes", hint="argmax over the classes, axis 1")
        if np.asarray(labels).dtype.kind not in "iu":
            fail("Class numbers are whole numbers.", value=labels)


@pytest.mark.question("predict", given=["preprocess"])
def test_predictions_of_many(student, reference, rng):
    """A thousand pictures at once, in their order, and arrays without a gradient."""
    model, here = answering_net(student, rng)
    images = bytes_of(rng, 1001)
    proba = student.predict_proba(model, images)
    if not isinstance(proba, np.ndarray):
        fail("A NumPy array is expected.", value=proba, hint=".numpy(), under torch.inference_mode()")
    assert_close(
        proba, expected_proba(reference, here, images), rtol=1e-3, atol=1e-4, what="the probabilities"
    )
    assert_close(np.asarray(student.predict(model, images)), proba.argmax(axis=1), what="the classes")


# --- the model that was handed in
def model_of(student):
    """The submitted model, within its budget: by load_model, or else as a plain state_dict."""
    path = student.file("weights")
    try:
        model = student.load_model(path)
        model.eval()
    except StudentError:
        there = student.value("torch")
        model = student.FruitNet(torch.zeros(3), torch.ones(3), len(CLASSES))
        model.load_state_dict(there.load(path, weights_only=True))
        model.eval()
    state = student.builtin("dict", model.state_dict())
    count = sum(int(np.prod(tuple(tensor.shape))) for tensor in state.values())
    if count > MAX_NUMBERS:
        fail(f"Your model has {count:,} numbers.", expected=f"at most {MAX_NUMBERS:,}", got=f"{count:,}",
             hint="A smaller network; train it and save it again.")  # fmt: skip
    return model


def guesses_by_model(model, reference, images):
    """(classes, probabilities) by the model alone, with the pictures prepared here."""
    parts = [model(part).detach() for part in reference.preprocess(images).split(250)]
    proba = torch.softmax(torch.cat(parts).float(), dim=1).numpy()
    return proba.argmax(axis=1), proba.max(axis=1)


def reaches(student, reference, rng, at_least, count):
    """The submitted model has this accuracy on pictures that are drawn now, in another kitchen."""
    fruit = load_dataset("fruit", num_train=0, num_test=count, seed=int(rng.integers(2**62)), shift=SHIFT)
    images, labels = fruit.x_test, fruit.y_test
    model = model_of(student)
    options = {
        "classes": CLASSES, "images": images, "what": "accuracy on unseen pictures",
        "hint": "Look at the pictures: what could augmentation have told your model?",
    }  # fmt: skip
    try:
        assert_classified(student.predict(model, images), labels, at_least, **options)
    except (CheckFailure, StudentError):
        # predict is a question of its own: here the model counts.
        guess, sure = guesses_by_model(model, reference, images)
        assert_classified(guess, labels, at_least, confidence=sure, **options)


GIVEN = ["normalize", "preprocess"]


@pytest.mark.question("fruit_model", weight=3, given=GIVEN)
def test_more_than_a_linear_model(student, reference, rng):
    """Your model recognises 60 % of the unseen pictures, which a linear one does not."""
    reaches(student, reference, rng, 0.60, 300)


@pytest.mark.question("fruit_model", weight=3, given=GIVEN)
def test_three_of_four(student, reference, rng):
    """Your model recognises 75 % of the unseen pictures."""
    reaches(student, reference, rng, 0.75, 300)


@pytest.mark.question("fruit_model", weight=3, given=GIVEN)
def test_five_of_six(student, reference, rng):
    """Your model recognises 84 % of the unseen pictures."""
    reaches(student, reference, rng, 0.84, 480)


@pytest.mark.question("fruit_model", weight=3, given=GIVEN)
def test_nine_of_ten_nearly(student, reference, rng):
    """Your model recognises 89 % of the unseen pictures."""
    reaches(student, reference, rng, 0.89, 720)


@pytest.mark.question("fruit_model", weight=5, given=GIVEN)
def test_all_points(student, reference, rng):
    """Your model recognises 92 % of the unseen pictures."""
    reaches(student, reference, rng, 0.92, 1200)
