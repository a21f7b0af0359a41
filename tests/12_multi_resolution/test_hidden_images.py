"""Resizing, padding, batches of one size, pooling inside a mask, and counting parameters."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autograder.checking import assert_close, assert_unchanged, fail

SIZES = [((4, 6), (8, 12)), ((5, 7), (3, 9)), ((9, 4), (4, 4)), ((6, 6), (7, 5)), ((8, 5), (2, 3))]


def normal(rng, *shape):
    """Normal random numbers in float64."""
    return torch.tensor(rng.normal(size=shape))


def resized(images, height, width):
    """Torch's own."""
    return F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False).numpy()


@pytest.mark.question("resize_bilinear", weight=3)
def test_resize_bilinear_values(student, rng):
    """Larger and smaller, along both axes: each pixel is the weighted mean of its four neighbours."""
    for old, new in SIZES:
        images = normal(rng, 2, 3, *old)
        out = student.resize_bilinear(images, *new)
        hint = "u = (i + 1/2) H / h - 1/2, kept between 0 and H - 1; weights 1 - a and a."
        assert_close(out, resized(images, *new), what=f"images {old} as {new}", hint=hint)


@pytest.mark.question("resize_bilinear")
def test_resize_bilinear_plane(student):
    """Inside of the image a slope stays the same slope: nothing is shifted by half a pixel."""
    ramp = torch.arange(12, dtype=torch.float64).repeat(12, 1)[None, None]
    out = student.resize_bilinear(ramp, 12, 36)
    expected = (np.arange(36) + 0.5) / 3 - 0.5
    got = (
        out[0, 0, 5].numpy() if isinstance(out, torch.Tensor) and tuple(out.shape) == (1, 1, 12, 36) else out
    )
    expected = np.clip(expected, 0, 11)
    assert_close(got, expected, what="a row of a slope, three times as wide", hint="Mind the halves.")


@pytest.mark.question("resize_bilinear")
def test_resize_bilinear_edges(student, rng):
    """A single pixel becomes an even area; the same size changes nothing; one pixel is left of many."""
    one = normal(rng, 2, 2, 1, 1)
    assert_close(student.resize_bilinear(one, 4, 3), resized(one, 4, 3), what="one pixel as 4 x 3")
    images = normal(rng, 2, 1, 5, 6)
    assert_close(student.resize_bilinear(images, 5, 6), images.numpy(), what="images of the size they have")
    assert_close(student.resize_bilinear(images, 1, 1), resized(images, 1, 1), what="images as one pixel")


@pytest.mark.question("resize_bilinear")
def test_resize_bilinear_inputs(student, rng):
    """images are not modified, and float32 stays float32."""
    images = normal(rng, 3, 1, 6, 4)
    assert_close(
        assert_unchanged(student.resize_bilinear, images, 9, 8), resized(images, 9, 8), what="the images"
    )
    out = student.resize_bilinear(images.float(), 9, 8)
    if not isinstance(out, torch.Tensor) or out.dtype != torch.float32:
        fail("float32 images should give float32 images.", value=out)
    assert_close(out, resized(images, 9, 8), rtol=1e-4, atol=1e-5, what="the images in float32")


# --- parameters
def network_size(channels, num_classes, in_channels, side):
    """Counted on torch's own layers."""
    layers = []
    for before, after in zip((in_channels, *channels), channels, strict=False):
        layers += [torch.nn.Conv2d(before, after, 3, padding=1, bias=False), torch.nn.BatchNorm2d(after)]
    for _ in channels if side is not None else ():
        side //= 2
    layers.append(torch.nn.Linear(channels[-1] * (1 if side is None else side * side), num_classes))
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters())


@pytest.mark.question("count_parameters", weight=2)
def test_count_parameters_pooled(student):
    """With global pooling, for one to four blocks, other images and other numbers of classes."""
    for channels, classes, inputs in (
        ((8,), 2, 1),
        ((16, 32, 64), 10, 3),
        ([5, 4, 3, 2], 7, 2),
        ((6, 6), 3, 1),
    ):
        expected = network_size(channels, classes, inputs, None)
        count = student.count_parameters(channels, classes, inputs)
        hint = "9 c c' for each convolution, 2 c' for each normalisation, (c_L + 1) K for the last layer."
        assert_close(count, expected, what=f"the parameters with channels {channels}", hint=hint)


@pytest.mark.question("count_parameters", weight=2)
def test_count_parameters_flat(student):
    """With flattened maps, also where the side is odd on the way."""
    for channels, classes, inputs, side in (
        ((8,), 2, 1, 9),
        ((4, 8, 16), 10, 3, 28),
        ((4, 8, 16), 10, 1, 64),
        ([5, 4], 7, 2, 15),
    ):
        expected = network_size(channels, classes, inputs, side)
        count = student.count_parameters(channels, classes, inputs, side)
        hint = "c_L (side // 2^L)^2 numbers reach the last layer."
        assert_close(
            count, expected, what=f"the parameters with channels {channels} and side {side}", hint=hint
        )


# --- batches
def batches_of(student, sizes, batch_size, seed):
    """The batches, checked for their type."""
    generator = student.value("torch").Generator().manual_seed(int(seed))
    batches = student.batches_by_size(sizes, batch_size, generator)
    plain = isinstance(batches, list) and all(isinstance(batch, list) for batch in batches)
    if not plain or not all(type(i) is int or isinstance(i, np.integer) for batch in batches for i in batch):
        fail("batches_by_size should return a list of lists of ints.", value=batches)
    return batches


def draw_sizes(rng, counts):
    """So many images of each size, in random order."""
    sizes = [size for size, count in counts.items() for _ in range(count)]
    return [sizes[i] for i in rng.permutation(len(sizes))]


COUNTS = [({(8, 8): 7, (8, 6): 3, (6, 8): 4}, 3), ({(5, 5): 6}, 2), ({(4, 4): 1, (9, 9): 9}, 20)]


@pytest.mark.question("batches_by_size", weight=2)
def test_batches_by_size_parts(student, rng):
    """Every index comes once, and the images of a batch have one size, height and width."""
    for counts, batch_size in COUNTS:
        sizes = draw_sizes(rng, counts)
        batches = batches_of(student, sizes, batch_size, rng.integers(1000))
        together = sorted(i for batch in batches for i in batch)
        assert_close(together, list(range(len(sizes))), what="all indices together")
        for batch in batches:
            if len({sizes[i] for i in batch}) != 1:
                hint = "(8, 6) and (6, 8) are two sizes."
                fail("A batch holds images of two sizes.", got=str([sizes[i] for i in batch]), hint=hint)


@pytest.mark.question("batches_by_size", weight=2)
def test_batches_by_size_lengths(student, rng):
    """A batch has at most batch_size images, and for each size only one batch has fewer."""
    for counts, batch_size in COUNTS:
        sizes = draw_sizes(rng, counts)
        batches = batches_of(student, sizes, batch_size, rng.integers(1000))
        for size, count in counts.items():
            lengths = sorted(len(batch) for batch in batches if batch and sizes[batch[0]] == size)
            full, rest = divmod(count, batch_size)
            expected = sorted([batch_size] * full + ([rest] if rest else []))
            what = f"the lengths of the batches of {count} images {size}, at most {batch_size} in each"
            assert_close(lengths, expected, what=what)


@pytest.mark.question("batches_by_size", weight=2)
def test_batches_by_size_random(student, rng):
    """Images of a size are shuffled, and the batches of all sizes are."""
    sizes = [(4, 4)] * 40 + [(6, 6)] * 40
    first_small, neighbours, runs = [], [], 60
    for seed in rng.permutation(1000)[:runs]:
        batches = batches_of(student, sizes, 8, seed)
        first_small.append(batches[0][0] < 40)
        neighbours += [abs(a - b) == 1 for batch in batches for a, b in pairwise(batch)]
    # A coin thrown 60 times: 30 heads, give or take 24.
    if not 6 <= sum(first_small) <= 54:
        fail("The batches of one size come first.", hint="Shuffle the list of batches, too.")
    # Two of 40 shuffled numbers are neighbours with probability 1/20; of 4,200 pairs 5 %, give or take 2 %.
    if np.mean(neighbours) > 0.08:
        fail("The images of a size are not shuffled.", hint="randperm, before batches are cut.")


@pytest.mark.question("batches_by_size")
def test_batches_by_size_seed(student, rng):
    """The generator decides: the same seed gives the same batches, whatever else is drawn."""
    there = student.value("torch")
    sizes = draw_sizes(rng, {(4, 4): 15, (5, 4): 15})
    results = []
    for other in (1, 2):
        there.manual_seed(other)
        results.append(batches_of(student, sizes, 4, 5))
    hint = "randperm(..., generator=generator), and no other source of random numbers."
    assert_close(results[1], results[0], what="the batches for the same seed", hint=hint)
    if batches_of(student, sizes, 4, 6) == results[0]:
        fail("Two seeds give the same batches.")
    generator = there.Generator().manual_seed(5)
    calls = [student.batches_by_size(sizes, 4, generator) for _ in range(2)]
    if calls[0] == calls[1]:
        fail("Two calls with the same generator give the same batches.", hint="Draw from it; do not seed it.")


@pytest.mark.question("batches_by_size")
def test_batches_by_size_inputs(student):
    """The list of sizes is not modified."""
    sizes = [(3, 3), (2, 2), (3, 3), (2, 5)]
    generator = student.value("torch").Generator().manual_seed(1)
    assert_unchanged(student.batches_by_size, sizes, 2, generator)
    batches = student.batches_by_size(sizes, 2, generator)
    assert_close(sorted(sorted(batch) for batch in batches), [[0, 2], [1], [3]], what="the batches, sorted")


# --- padding
def padded(images):
    """The definition."""
    height, width = max(i.shape[1] for i in images), max(i.shape[2] for i in images)
    batch = np.zeros((len(images), images[0].shape[0], height, width))
    mask = np.zeros((len(images), height, width), dtype=bool)
    for n, image in enumerate(images):
        batch[n, :, : image.shape[1], : image.shape[2]] = image
        mask[n, : image.shape[1], : image.shape[2]] = True
    return batch, mask


CASES = [(1, [(3, 5), (4, 2)]), (2, [(2, 2), (5, 3), (1, 4)]), (3, [(4, 4), (4, 4)]), (1, [(3, 2)])]


def pair(result):
    """Batch and mask."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("pad_batch should return the batch and the mask.", value=result)
    return result


@pytest.mark.question("pad_batch", weight=2)
def test_pad_batch_images(student, rng):
    """Every image is in the upper left corner of its place, with zeros around."""
    for channels, sizes in CASES:
        images = [normal(rng, channels, *size) for size in sizes]
        batch, _ = pair(student.pad_batch(images))
        assert_close(batch, padded(images)[0], what=f"the batch of images {sizes}")


@pytest.mark.question("pad_batch", weight=2)
def test_pad_batch_mask(student, rng):
    """The mask is True where there is image, whatever its pixels are, zeros included."""
    for channels, sizes in CASES:
        for scale in (1.0, 0.0):
            images = [scale * normal(rng, channels, *size) for size in sizes]
            _, mask = pair(student.pad_batch(images))
            if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
                fail("The mask should be a bool tensor.", value=mask)
            hint = "The mask follows from the sizes, not from the pixels."
            assert_close(mask, padded(images)[1], what=f"the mask of images {sizes}", hint=hint)


@pytest.mark.question("pad_batch")
def test_pad_batch_inputs(student, rng):
    """The images are not modified, and the dtype stays."""
    for dtype in (torch.float32, torch.float64):
        images = [normal(rng, 1, 2, 3).to(dtype), normal(rng, 1, 3, 1).to(dtype)]
        batch, _ = pair(assert_unchanged(student.pad_batch, images))
        if not isinstance(batch, torch.Tensor) or batch.dtype != dtype:
            fail("The batch should have the dtype of the images.", value=batch)
        assert_close(batch, padded(images)[0], rtol=0, atol=0, what="the batch")


# --- pooling
def draw_masked(rng, N, C, H, W):
    """Maps and a mask of which each row has a place inside and one outside."""
    mask = rng.random(size=(N, H, W)) < 0.6
    mask[:, 0, 0], mask[:, -1, -1] = True, False
    return normal(rng, N, C, H, W), torch.tensor(mask)


def pooled(maps, mask, kind):
    """The definition, place by place."""
    out = np.empty(maps.shape[:2])
    for n, c in np.ndindex(*out.shape):
        inside = maps[n, c][mask[n]].numpy()
        out[n, c] = inside.mean() if kind == "mean" else inside.max()
    return out


SHAPES = [(2, 3, 4, 5), (1, 2, 3, 3), (4, 1, 2, 6)]


@pytest.mark.question("masked_pool", weight=2)
@pytest.mark.parametrize("kind", ["mean", "max"])
def test_masked_pool_values(student, rng, kind):
    """Mean and maximum are those of the places inside, for masks of any form."""
    for shape in SHAPES:
        maps, mask = draw_masked(rng, *shape)
        out = assert_unchanged(student.masked_pool, maps, mask, kind)
        assert_close(out, pooled(maps, mask, kind), what=f"the {kind} for maps of shape {shape}")


@pytest.mark.question("masked_pool")
def test_masked_pool_signs(student, rng):
    """All numbers inside may be negative, or all positive."""
    for sign in (-1, 1):
        maps, mask = draw_masked(rng, 3, 2, 4, 4)
        maps = sign * (1 + maps.abs())
        for kind in ("mean", "max"):
            hint = "Outside counts as minus infinity for a maximum, and is not counted at all for a mean."
            out = student.masked_pool(maps, mask, kind)
            assert_close(out, pooled(maps, mask, kind), what=f"the {kind}", hint=hint)


@pytest.mark.question("masked_pool")
def test_masked_pool_outside(student, rng):
    """What stands outside changes nothing: large numbers, infinity, NaN."""
    for filling in (1e6, -1e6, math.inf, math.nan):
        maps, mask = draw_masked(rng, 2, 2, 3, 4)
        expected = {kind: pooled(maps, mask, kind) for kind in ("mean", "max")}
        spoiled = torch.where(mask[:, None], maps, torch.tensor(filling, dtype=torch.float64))
        for kind in ("mean", "max"):
            out = student.masked_pool(spoiled, mask, kind)
            hint = "NaN times 0 is NaN: put something else in its place (masked_fill, where)."
            assert_close(out, expected[kind], what=f"the {kind} with {filling} outside", hint=hint)


@pytest.mark.question("masked_pool")
def test_masked_pool_whole(student, rng):
    """With a mask that is True everywhere it is global pooling, by default the mean; in float32 too."""
    maps = normal(rng, 2, 3, 4, 4)
    mask = torch.ones(2, 4, 4, dtype=torch.bool)
    assert_close(student.masked_pool(maps, mask), maps.mean(dim=(2, 3)).numpy(), what="the default")
    out = student.masked_pool(maps.float(), mask, "max")
    assert_close(out, maps.amax(dim=(2, 3)).numpy(), rtol=1e-4, atol=1e-5, what="the maximum in float32")


@pytest.mark.question("masked_pool")
def test_masked_pool_gradient(student, rng):
    """Gradients reach the places inside, and none goes outside."""
    maps, mask = draw_masked(rng, 2, 2, 3, 3)
    upstream = normal(rng, 2, 2)
    for kind in ("mean", "max"):
        leaf = maps.clone().requires_grad_()
        inside = mask[:, None]
        if kind == "mean":
            value = (leaf * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3))
        else:
            value = leaf.masked_fill(~inside, -math.inf).amax(dim=(2, 3))
        value.backward(upstream)
        function = student.partial(student.value("masked_pool"), mask=mask, kind=kind)
        _, (found,) = student.value("torch").autograd.functional.vjp(function, (maps,), upstream)
        assert_close(found, leaf.grad.numpy(), what=f"the gradient of the {kind}")
