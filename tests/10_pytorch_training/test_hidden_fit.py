"""The loop around the epochs, in rehearsals; and a classifier of the student's own."""

import math

import numpy as np
import pytest
import torch

from autograder.checking import assert_accuracy, assert_close, disguise, fail
from autograder.datasets import load_dataset

# Losses that first go down and then up, and more to come than patience allows.
FALLS, RISES = [3.0, 2.0, 1.5, 1.0], [1.2, 1.1, 1.4, 1.3, 1.25, 1.6, 1.7, 1.05]


class Run:
    """A fit in which nothing is trained: in epoch e every parameter and buffer becomes e."""

    def __init__(self, student, val_losses, *, patience, rates=None, train_losses=None):
        there = student.value("torch")
        self._student = student
        self.model = there.nn.Sequential(there.nn.Linear(3, 2), there.nn.BatchNorm1d(2))
        groups = [{"params": self.model.get_submodule(name).parameters(), "lr": 7.0} for name in "01"]
        optimiser = there.optim.SGD(groups, lr=7.0)
        # Falling losses in training: whoever looks at these stops nowhere.
        self.train_losses = train_losses or [2.0**-epoch for epoch in range(len(val_losses))]
        self.rates = [0.1 * (epoch + 1) for epoch in range(len(val_losses))] if rates is None else rates
        self._rehearsal = student.Rehearsal(self.model, optimiser, self.train_losses, val_losses)
        self.history = student.fit(
            self.model, optimiser, self._rehearsal.run_epoch, self._rehearsal.validate, self.rates, patience
        )
        if not isinstance(self.history, dict):
            fail("fit should return a dict.", value=self.history)

    @property
    def rates_seen(self):
        """The learning rates of the groups in each epoch."""
        return self._rehearsal.rates

    def entry(self, name):
        """A part of the history."""
        if name not in self.history:
            fail(f"The history has no {name!r}.", got=str(list(self.history)), value=self.history)
        return self.history[name]

    def check_length(self, epochs, hint=""):
        """Exactly so many epochs were run, and each is in the history."""
        assert_close(len(self.rates_seen), epochs, what="the number of epochs that were run", hint=hint)
        for name in ("train_loss", "val_loss", "val_accuracy"):
            assert_close(len(self.entry(name)), epochs, what=f'the length of history["{name}"]', hint=hint)

    def check_best(self, epoch, hint="", where=""):
        """Epoch `epoch` counts as the best, and all its weights are in the model."""
        assert_close(self.entry("best_epoch"), epoch, what=f'history["best_epoch"]{where}', hint=hint)
        for name, tensor in self._student.builtin("dict", self.model.state_dict()).items():
            value = tensor.numpy()
            hint = (
                hint
                or "Copy model.state_dict() when the loss is the lowest so far; load the copy at the end."
            )
            expected = np.full(value.shape, epoch, value.dtype)
            what = f"{name} after fit, where it was {epoch} in the best epoch{where}"
            assert_close(value, expected, rtol=0, atol=0, what=what, hint=hint)


@pytest.mark.question("fit", weight=2)
def test_fit_history(student, rng):
    """The history has the losses and accuracies of all epochs that were run, in order."""
    val_losses = sorted(rng.uniform(0.5, 3, size=6).tolist(), reverse=True)
    train_losses = rng.uniform(0.2, 2, size=6).tolist()
    run = Run(student, val_losses, patience=3, train_losses=train_losses)
    run.check_length(6)
    assert_close(run.entry("train_loss"), train_losses, what='history["train_loss"]')
    assert_close(run.entry("val_loss"), val_losses, what='history["val_loss"]')
    expected = [1 / (2 + epoch) for epoch in range(6)]
    assert_close(run.entry("val_accuracy"), expected, what='history["val_accuracy"]')


@pytest.mark.question("fit", weight=3)
def test_fit_best_weights(student, rng):
    """The parameters and buffers of the best epoch are in the model at the end, wherever that epoch was."""
    for best in (0, 2, 5):
        losses = rng.uniform(2, 3, size=6)
        losses[best] = 1.0
        Run(student, losses.tolist(), patience=6).check_best(
            best, where=f", with six epochs and {best} the best"
        )


@pytest.mark.question("fit", weight=3)
def test_fit_patience(student):
    """It stops after `patience` epochs without a lower loss: not earlier, and not later."""
    for patience in (1, 2, 4):
        run = Run(student, FALLS + RISES, patience=patience)
        hint = f"Epoch 3 is the best, so with a patience of {patience} the last one is epoch {3 + patience}."
        run.check_length(4 + patience, hint)
        run.check_best(3)


@pytest.mark.question("fit", weight=2)
def test_fit_patience_begins_anew(student):
    """A lower loss sets the waiting back, and what counts is the lowest loss, not the one before."""
    losses = [3.0, 3.5, 3.2, 2.9, 3.1, 3.0, 2.8, 2.85, 2.84, 2.83, 2.9, 2.95, 2.0]
    run = Run(student, losses, patience=3)
    hint = "The lowest losses are those of epochs 0, 3 and 6; after 6 there are three that are higher."
    run.check_length(10, hint)
    run.check_best(6)


@pytest.mark.question("fit")
def test_fit_equal_losses(student):
    """A loss that only equals the lowest one is no improvement, and the first of equals is kept."""
    run = Run(student, [2.0, 1.0, 1.0, 1.0, 1.5, 1.2, 0.5], patience=2)
    hint = "The loss has to be below the lowest one so far."
    run.check_length(4, hint)
    run.check_best(1, hint)


@pytest.mark.question("fit")
def test_fit_nan(student):
    """A loss of NaN is no improvement, wherever it comes."""
    nan = math.nan
    run = Run(student, [nan, 2.0, nan, nan, nan, nan, 1.0, 0.5], patience=2)
    hint = "Every comparison with NaN is False: ask whether the loss is lower, not whether it is not higher."
    run.check_length(4, hint)
    run.check_best(1, hint)
    Run(student, [nan] * 5, patience=2).check_length(2, hint)


@pytest.mark.question("fit")
def test_fit_any_size_of_loss(student):
    """Losses may be large or negative: only which one is lowest counts."""
    Run(student, [5e9, 4e9, 4.5e9], patience=5).check_best(1)
    Run(student, [-1.0, -3.0, -2.0, -2.5, -2.6, -2.7, -9.0], patience=2).check_best(1)


@pytest.mark.question("fit")
def test_fit_loss_not_accuracy(student):
    """The best epoch is that of the lowest validation loss; neither accuracy nor training loss decides."""
    run = Run(student, [2.0, 1.0, 1.5, 1.6], patience=10, train_losses=[4.0, 3.0, 2.0, 1.0])
    run.check_length(4)
    run.check_best(1, "val_loss decides.")


@pytest.mark.question("fit", weight=2)
def test_fit_rates(student, rng):
    """In epoch e all groups of the optimizer have the learning rate rates[e], from the first epoch on."""
    rates = rng.uniform(0.01, 1, size=5)
    for given in (rates, rates.tolist()):
        run = Run(student, [5.0, 4.0, 3.0, 2.0, 1.0], patience=2, rates=given)
        hint = 'for group in optimizer.param_groups: group["lr"] = ..., before the epoch runs.'
        expected = [[rate, rate] for rate in rates.tolist()]
        assert_close(run.rates_seen, expected, what="the rates of the two groups, epoch by epoch", hint=hint)


@pytest.mark.question("fit")
def test_fit_number_of_epochs(student):
    """There are never more epochs than rates."""
    for epochs in (1, 3):
        run = Run(student, [5.0, 4.0, 3.0, 2.0], patience=9, rates=[0.1] * epochs)
        run.check_length(epochs, "One epoch for each rate.")
        run.check_best(epochs - 1)


@pytest.mark.question("fit")
def test_fit_twice(student):
    """A second fit begins anew: with its own lowest loss, its own waiting and its own history."""
    Run(student, [0.3, 0.1, 0.2], patience=2)
    run = Run(student, [3.0, 2.0, 2.5, 2.6, 2.7, 2.8, 1.0], patience=2)
    run.check_length(4)
    run.check_best(1)


# --- a classifier of one's own
def logits_of(model, x):
    """Logits of images (N, H, W) in eval mode."""
    model.eval()
    logits = model(torch.tensor(np.asarray(x, dtype=np.float32))[:, None])
    if not isinstance(logits, torch.Tensor):
        fail("The model should give a tensor of logits.", value=logits)
    return logits.detach().numpy()


@pytest.mark.question("digit_classifier", weight=4)
def test_digit_classifier_accuracy(student, rng):
    """Trained on 1,200 hands, it reads most of 800 others, which vary a little more."""
    seed = int(rng.integers(2**40))
    hands = load_dataset("gestures", size=20, num_train=1200, num_test=800, seed=seed, shift=0.25)
    x, y, classes = disguise(hands.x_train, hands.y_train, rng)
    x_test, y_test, _ = disguise(hands.x_test, hands.y_test, rng, permutation=classes)
    x, x_test = (np.clip(images, 0, 1).astype(np.float32) for images in (x, x_test))
    model = student.digit_classifier(x, y, int(rng.integers(1000)))
    count = sum(parameter.numel() for parameter in student.builtin("list", model.parameters()))
    if count > 200_000:
        fail(f"The model has {count:,} parameters.", expected="at most 200,000", got=f"{count:,}")
    predictions = logits_of(model, x_test).argmax(axis=1)
    hint = "Standardise each image inside of the model, and train until the loss no longer falls."
    assert_accuracy(predictions, y_test, 0.5, what="accuracy on unseen hands", hint=hint)


@pytest.mark.question("digit_classifier")
def test_digit_classifier_shapes(student, rng):
    """Any number of classes and any size of image; a batch gives what its images give one by one."""
    x = rng.random(size=(120, 16, 24)).astype(np.float32)
    y = rng.permutation(np.arange(120) % 4)
    model = student.digit_classifier(x, y, 3)
    together = logits_of(model, x[:5])
    assert_close(list(together.shape), [5, 4], what="the shape of the logits of five images, four classes")
    for n in range(5):
        what = "the logits of an image by itself"
        hint = "In eval mode an image's logits must not depend on the other images of its batch."
        assert_close(
            logits_of(model, x[n : n + 1])[0], together[n], rtol=1e-3, atol=1e-4, what=what, hint=hint
        )


@pytest.mark.question("digit_classifier")
def test_digit_classifier_seed(student, rng):
    """Equal seeds give equal models, bit for bit; another seed gives another one."""
    x = rng.random(size=(120, 16, 16)).astype(np.float32)
    y = rng.permutation(np.arange(120) % 3)
    first, again, other = (logits_of(student.digit_classifier(x, y, seed), x[:9]) for seed in (1, 1, 2))
    hint = "torch.manual_seed(seed) first; whatever else draws random numbers needs the seed as well."
    assert_close(again, first, rtol=0, atol=0, what="the logits with the same seed", hint=hint)
    if np.array_equal(first, other):
        fail("Two seeds give the same model.", hint=hint)
