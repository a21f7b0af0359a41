"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import numpy as np
import pytest
import torch

from autograder.checking import assert_close, assert_unchanged, fail


@pytest.mark.question("resize_bilinear")
def test_resize_bilinear(student):
    """Two pixels become four, four become two, and an image of its own size stays as it is."""
    row = torch.tensor([[[[0.0, 8.0]]]], dtype=torch.float64)
    out = assert_unchanged(student.resize_bilinear, row, 1, 4)
    hint = "u = (i + 1/2) H / h - 1/2, kept between 0 and H - 1."
    assert_close(out, np.array([[[[0.0, 2.0, 6.0, 8.0]]]]), what="two pixels as four", hint=hint)
    column = torch.tensor([0.0, 2.0, 6.0, 8.0], dtype=torch.float64).reshape(1, 1, 4, 1)
    out = student.resize_bilinear(column, 2, 1)
    assert_close(out, np.array([1.0, 7.0]).reshape(1, 1, 2, 1), what="four pixels as two", hint=hint)
    image = torch.arange(6, dtype=torch.float64).reshape(1, 1, 2, 3)
    assert_close(student.resize_bilinear(image, 2, 3), image.numpy(), what="an image of the size it has")


@pytest.mark.question("count_parameters")
def test_count_parameters(student):
    """A small network, with both heads."""
    blocks = 9 * 4 + 2 * 4 + 9 * 4 * 6 + 2 * 6
    assert_close(student.count_parameters((4, 6), 3), blocks + 7 * 3, what="with global pooling")
    flat = student.count_parameters((4, 6), 3, side=10)
    hint = "10 / 2 / 2, rounded down each time, is 2: the maps have 2 x 2 places."
    assert_close(flat, blocks + (6 * 4 + 1) * 3, what="with flattened maps, side 10", hint=hint)


@pytest.mark.question("batches_by_size")
def test_batches_by_size(student):
    """Five small images and two large ones, in batches of at most three."""
    sizes = [(8, 8), (4, 4), (4, 4), (8, 8), (4, 4), (4, 4), (4, 4)]
    generator = student.value("torch").Generator().manual_seed(0)
    batches = student.batches_by_size(sizes, 3, generator)
    if not isinstance(batches, list) or not all(isinstance(batch, list) for batch in batches):
        fail("batches_by_size should return a list of lists.", value=batches)
    together = sorted(i for batch in batches for i in batch)
    assert_close(together, list(range(7)), what="all indices together")
    for batch in batches:
        if len({sizes[i] for i in batch}) != 1:
            fail("A batch holds images of two sizes.", got=str(batch), value=batches)
    assert_close(sorted(map(len, batches)), [2, 2, 3], what="the lengths of the batches")


@pytest.mark.question("pad_batch")
def test_pad_batch(student):
    """An image of 1 x 3 and one of 2 x 1 become a batch of 2 x 3."""
    images = [torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[4.0], [5.0]]])]
    result = student.pad_batch(images)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("pad_batch should return the batch and the mask.", value=result)
    batch, mask = result
    expected = np.array([[[[1.0, 2, 3], [0, 0, 0]]], [[[4.0, 0, 0], [5, 0, 0]]]])
    assert_close(batch, expected, what="the batch")
    inside = np.array([[[1, 1, 1], [0, 0, 0]], [[1, 0, 0], [1, 0, 0]]], dtype=bool)
    assert_close(mask, inside, what="the mask")


@pytest.mark.question("masked_pool")
def test_masked_pool(student):
    """Mean and maximum of what is inside; large and negative numbers outside and inside."""
    maps = torch.tensor([[[[1.0, 2.0], [9.0, 9.0]]], [[[-4.0, 50.0], [-2.0, 50.0]]]], dtype=torch.float64)
    mask = torch.tensor([[[True, True], [False, False]], [[True, False], [True, False]]])
    out = assert_unchanged(student.masked_pool, maps, mask)
    assert_close(
        out, np.array([[1.5], [-3.0]]), what="the mean", hint="Divide by the number of places inside."
    )
    out = student.masked_pool(maps, mask, "max")
    assert_close(out, np.array([[2.0], [-2.0]]), what="the maximum", hint="Outside counts as minus infinity.")


@pytest.mark.question("mixed_cnn", given=["masked_pool"])
def test_mixed_cnn(student):
    """It takes images of any size; with a mask, what stands outside changes nothing."""
    there = student.value("torch")
    there.manual_seed(0)
    model = student.MixedCNN((4, 6), 3)
    model.train(False)
    for size in ((8, 8), (12, 20)):
        out = model(torch.ones(2, 1, *size))
        assert_close(list(out.shape), [2, 3], what=f"the shape of the logits of images {size}")
    image = torch.arange(64.0).reshape(1, 1, 8, 8) / 64
    mask = torch.zeros(1, 12, 16, dtype=torch.bool)
    mask[:, :8, :8] = True
    alone = model(image).detach().numpy()
    for filling in (0.0, 7.0):
        padded = torch.full((1, 1, 12, 16), filling)
        padded[:, :, :8, :8] = image
        hint = (
            "Set the part outside to 0 before the first block and after each, with a mask that shrinks too."
        )
        what = f"the logits of the image, padded with {filling:g}"
        assert_close(model(padded, mask), alone, rtol=1e-4, atol=1e-5, what=what, hint=hint)


@pytest.mark.question("accuracy_by_size")
def test_accuracy_by_size(student):
    """A model that says whether an image is bright, on three images of one size and one of another."""
    there = student.value("torch")
    model = there.nn.Sequential(there.nn.AdaptiveAvgPool2d(1), there.nn.Flatten(), there.nn.Linear(1, 2))
    model.load_state_dict({"2.weight": torch.tensor([[-1.0], [1.0]]), "2.bias": torch.zeros(2)})
    images = [torch.ones(1, 2, 2), -torch.ones(1, 2, 2), torch.ones(1, 3, 2), torch.ones(1, 2, 2)]
    result = student.accuracy_by_size(model, images, torch.tensor([1, 1, 1, 1]))
    assert_close(result, {(2, 2): 2 / 3, (3, 2): 1.0}, what="the accuracies")
