"""A classifier of the student's own: few pictures, drawn afresh, with permuted classes."""

import numpy as np
import pytest
import torch

from autograder.checking import assert_classified, assert_close, fail
from autograder.datasets import load_dataset

EACH = 15
LEAST = 0.67
"""Frozen features reach 0.83, give or take 0.03; networks from nothing 0.54, and 0.58 at most."""


def logits_of(model, pictures):
    """Logits of bytes (M, 3, H, W) in eval mode."""
    model.eval()
    parts = [model(torch.tensor(part)) for part in np.array_split(pictures, -(-len(pictures) // 60))]
    for part in parts:
        if not isinstance(part, torch.Tensor) or part.ndim != 2:
            fail("The model should give a tensor of logits (M, K).", value=part)
    return torch.cat([part.detach() for part in parts])


@pytest.mark.question("transfer", weight=4)
def test_transfer_accuracy(student, rng):
    """From fifteen pictures of each of six classes it knows most of 240 others, which vary more."""
    fruit = load_dataset(
        "fruit", size=96, num_train=6 * EACH, num_test=240, seed=int(rng.integers(2**40)), shift=1.0
    )
    classes = rng.permutation(6)
    y, y_test = classes[fruit.y_train], classes[fruit.y_test]
    model = student.transfer(torch.tensor(fruit.x_train), torch.tensor(y), int(rng.integers(1000)))
    p = logits_of(model, fruit.x_test).softmax(dim=1)
    names = [fruit.classes[int(np.flatnonzero(classes == label)[0])] for label in range(6)]
    hint = "The features of the pretrained network, with its own preprocessing; then a head."
    assert_classified(
        p.argmax(dim=1).numpy(), y_test, LEAST, classes=names, images=fruit.x_test,
        confidence=p.amax(dim=1).numpy().astype(np.float64), what="accuracy on unseen pictures", hint=hint,
    )  # fmt: skip


@pytest.mark.question("transfer")
def test_transfer_shapes(student, rng):
    """Other sizes of picture and numbers of classes; a picture's logits do not depend on its neighbours."""
    x = rng.integers(0, 256, size=(9, 3, 40, 48)).astype(np.uint8)
    y = np.arange(9) % 3
    model = student.transfer(torch.tensor(x), torch.tensor(y), 3)
    together = logits_of(model, x[:4])
    assert_close(list(together.shape), [4, 3], what="the shape of the logits of four pictures, three classes")
    for n in (0, 3):
        hint = "In eval mode a picture's logits must not depend on the other pictures of its batch."
        alone = logits_of(model, x[n : n + 1])[0]
        assert_close(
            alone, together[n].numpy(), rtol=1e-2, atol=1e-3, what="the logits of a picture alone", hint=hint
        )


@pytest.mark.question("transfer")
def test_transfer_seed(student, rng):
    """Equal seeds give equal models, bit for bit, whatever else has drawn random numbers."""
    there = student.value("torch")
    x = rng.integers(0, 256, size=(8, 3, 32, 32)).astype(np.uint8)
    y = np.arange(8) % 2
    results = []
    for other in (1, 2):
        there.manual_seed(other)
        results.append(logits_of(student.transfer(torch.tensor(x), torch.tensor(y), 5), x[:4]).numpy())
    hint = "torch.manual_seed(seed) first; whatever else draws random numbers needs the seed as well."
    assert_close(results[1], results[0], rtol=0, atol=0, what="the logits with the same seed", hint=hint)
