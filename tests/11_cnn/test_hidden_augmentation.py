"""Augmentation: what is done to an image is found again from the image, and what is random is measured.

Bounds on what is random are six standard deviations wide, or as unlikely to be passed.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autograder.checking import assert_close, assert_unchanged, fail


def generator_of(student, seed):
    """A generator beside the student's code."""
    return student.value("torch").Generator().manual_seed(int(seed))


# --- whole pixels
def shifts_of(before, after, most):
    """For each image how far it was moved, down and right: (N, 2)."""
    height, width = before.shape[2:]
    padded = np.pad(before, ((0, 0), (0, 0), (most, most), (most, most)))
    found = np.full((len(before), 2), 99)
    for down in range(-most, most + 1):
        for right in range(-most, most + 1):
            top, left = most - down, most - right
            moved = padded[:, :, top : top + height, left : left + width]
            found[np.all(moved == after, axis=(1, 2, 3))] = down, right
    return found


def shifted(student, images, most, generator):
    """The images after random_shift, and by how much each was moved."""
    moved = student.random_shift(images, most, generator)
    if not isinstance(moved, torch.Tensor) or moved.shape != images.shape or moved.dtype != images.dtype:
        fail("random_shift should return a tensor like images.", value=moved)
    found = shifts_of(images.numpy(), moved.numpy(), most)
    if (found == 99).any():
        share = float(np.mean(found[:, 0] == 99))
        fail(
            f"{share:.0%} of the images are not what they were, moved by at most {most} pixels.",
            hint="Cut a window of H x W out of the padded image; what comes in is 0.",
            value=moved,
        )
    return moved, found


@pytest.mark.question("random_shift", weight=3)
def test_random_shift_values(student, rng):
    """Each image is the old one, moved by whole pixels, with zeros where nothing was."""
    for shape, most in (((12, 1, 7, 7), 2), ((9, 3, 6, 9), 3), ((5, 2, 8, 5), 1)):
        images = torch.tensor(rng.uniform(0.1, 1, size=shape))
        shifted(student, images, most, generator_of(student, rng.integers(1000)))
        shifted(student, images.float(), most, generator_of(student, rng.integers(1000)))


@pytest.mark.question("random_shift", weight=2)
def test_random_shift_distribution(student, rng):
    """Both shifts are drawn evenly from -most to most, and do not depend on each other."""
    most, N = 2, 500
    images = torch.tensor(rng.uniform(0.1, 1, size=(N, 1, 6, 6))).float()
    _, found = shifted(student, images, most, generator_of(student, rng.integers(1000)))
    for axis, name in enumerate(("down", "right")):
        counts = [int(np.sum(found[:, axis] == value)) for value in range(-most, most + 1)]
        # 500 draws, each of five values with probability 1/5: 100, give or take 54.
        if not all(46 <= count <= 154 for count in counts):
            fail(
                f"The shifts {name} are not drawn evenly from -2 to 2.",
                expected="about 100 of each", got=str(counts),
                hint="torch.randint leaves out its upper bound.",
            )  # fmt: skip
    if abs(np.corrcoef(found.T)[0, 1]) > 6 / math.sqrt(N):
        fail("The two shifts of an image depend on each other.", hint="Two random numbers for each image.")


@pytest.mark.question("random_shift")
def test_random_shift_seed(student, rng):
    """The generator decides: the same seed gives the same, the next call another, whatever else is drawn."""
    there = student.value("torch")
    images = torch.tensor(rng.uniform(0.1, 1, size=(30, 1, 6, 6)))
    results = []
    for other in (1, 2):
        there.manual_seed(other)
        generator = generator_of(student, 7)
        results.append([shifted(student, images, 2, generator)[1] for _ in range(2)])
    hint = "torch.randint(..., generator=generator), and no other source of random numbers."
    assert_close(results[1], results[0], what="the shifts for the same seed", hint=hint)
    if np.array_equal(results[0][0], results[0][1]):
        fail("Two calls with the same generator give the same shifts.", hint="Draw from it; do not seed it.")


@pytest.mark.question("random_shift")
def test_random_shift_leaves_inputs(student, rng):
    """images are not modified, and with most = 0 they come back as they are."""
    images = torch.tensor(rng.uniform(0.1, 1, size=(4, 2, 5, 6)))
    moved = assert_unchanged(student.random_shift, images, 2, generator_of(student, 1))
    assert_close(list(moved.shape), [4, 2, 5, 6], what="the shape")
    same = student.random_shift(images, 0, generator_of(student, 1))
    assert_close(same, images.numpy(), what="the images with most = 0")


# --- matrices
def theta_of(angle, scale, shift):
    """The definition, for one image."""
    A = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / scale
    return np.concatenate([A, -A @ np.asarray(shift, dtype=float)[:, None]], axis=1)


@pytest.mark.question("affine_matrices", weight=3)
def test_affine_matrices_values(student, rng):
    """The matrices are (A | -A t), for each image its own."""
    for N in (1, 2, 3, 8):
        angles, scales = rng.uniform(-3, 3, size=N), rng.uniform(0.5, 2, size=N)
        shifts = rng.uniform(-1, 1, size=(N, 2))
        theta = assert_unchanged(student.affine_matrices, *map(torch.tensor, (angles, scales, shifts)))
        expected = np.stack([theta_of(*each) for each in zip(angles, scales, shifts, strict=True)])
        assert_close(theta, expected, what=f"theta of {N} images", hint="A = R^-1 / s, then (A | -A t).")


@pytest.mark.question("affine_matrices")
def test_affine_matrices_alone(student, rng):
    """Turning alone, scaling alone and moving alone."""
    angle, scale, shift = rng.uniform(0.3, 1.2), rng.uniform(1.2, 2), rng.uniform(0.2, 0.6, size=2)
    for name, values in (
        ("an angle", (angle, 1.0, [0.0, 0.0])),
        ("a scale", (0.0, scale, [0.0, 0.0])),
        ("a shift", (0.0, 1.0, shift)),
    ):
        theta = student.affine_matrices(*(torch.tensor(np.array([each])) for each in values))
        assert_close(theta, theta_of(*values)[None], what=f"theta of {name} alone")


@pytest.mark.question("affine_matrices")
def test_affine_matrices_pictures(student, rng):
    """A quarter turn is rot90, a shift of whole pixels moves whole pixels, and the picture grows with s."""
    image = torch.tensor(rng.random(size=(1, 1, 8, 8)))

    def seen(angle, scale, shift):
        theta = student.affine_matrices(torch.tensor([angle]), torch.tensor([scale]), torch.tensor([shift]))
        if not isinstance(theta, torch.Tensor) or tuple(theta.shape) != (1, 2, 3):
            fail("theta should be a tensor of shape (N, 2, 3).", value=theta)
        grid = F.affine_grid(theta.double(), [1, 1, 8, 8], align_corners=False)
        return F.grid_sample(image, grid, align_corners=False)

    turned = seen(math.pi / 2, 1.0, [0.0, 0.0])
    hint = "Counter-clockwise as seen, with y pointing down."
    expected = torch.rot90(image, 1, (2, 3)).numpy()
    assert_close(turned, expected, rtol=1e-5, atol=1e-5, what="the picture after a quarter turn", hint=hint)
    moved = seen(0.0, 1.0, [0.5, 0.25])  # two pixels to the right, one down
    expected = np.zeros((1, 1, 8, 8))
    expected[..., 1:, 2:] = image[..., :-1, :-2]
    assert_close(moved, expected, rtol=1e-5, atol=1e-5, what="the picture, moved to the right and down")
    larger = seen(0.0, 2.0, [0.0, 0.0])
    middle = larger[..., 3:5, 3:5].mean()
    assert_close(
        float(middle), float(image[..., 3:5, 3:5].mean()), atol=0.3, what="the middle of the picture"
    )


@pytest.mark.question("affine_matrices")
def test_affine_matrices_float32(student, rng):
    """float32 in, float32 out."""
    values = (rng.uniform(-1, 1, size=4), rng.uniform(0.8, 1.2, size=4), rng.uniform(-0.3, 0.3, size=(4, 2)))
    theta = student.affine_matrices(*(torch.tensor(each).float() for each in values))
    if not isinstance(theta, torch.Tensor) or theta.dtype != torch.float32:
        fail("theta should be a float32 tensor.", value=theta)
    expected = np.stack([theta_of(*each) for each in zip(*values, strict=True)])
    assert_close(theta, expected, rtol=1e-4, atol=1e-5, what="theta in float32")


# --- at random: three spots, from whose places the transformation is found again
SIZE, RADIUS, WIDTH = 41, 0.55, 0.09
PLACES = RADIUS * np.exp(2j * np.pi * (np.arange(3) / 3 + 0.1))  # x + iy, with y pointing down
AXIS = (np.arange(SIZE) + 0.5) * 2 / SIZE - 1
POINTS = AXIS[None, :] + 1j * AXIS[:, None]
SPOTS = np.exp(-(np.abs(POINTS[None] - PLACES[:, None, None]) ** 2) / (2 * WIDTH**2))
REGIONS = np.argmin(np.abs(POINTS[None] - PLACES[:, None, None]), axis=0)


def augmented(student, images, generator):
    """The images after augment."""
    result = student.augment(images, generator)
    if not isinstance(result, torch.Tensor) or result.shape != images.shape or result.dtype != images.dtype:
        fail("augment should return a tensor like images.", value=result)
    return result


def transformations(images):
    """Angle, scale and shifts of each image (N, 1, SIZE, SIZE), and how far the spots are from fitting."""
    weights = np.stack([np.where(k == REGIONS, images[:, 0], 0.0) for k in range(3)], axis=1)
    found = (weights * POINTS).sum(axis=(2, 3)) / np.maximum(weights.sum(axis=(2, 3)), 1e-9)
    # Least squares for q = c p + t, with c = s exp(-i phi), since y points down.
    centre = found.mean(axis=1)
    c = ((found - centre[:, None]) * PLACES.conj()).sum(axis=1) / (np.abs(PLACES) ** 2).sum()
    misfit = np.abs(found - centre[:, None] - c[:, None] * PLACES).max(axis=1)
    return -np.angle(c), np.abs(c), centre.real, centre.imag, misfit


def spots(N):
    """N times the same image of three spots."""
    return torch.tensor(np.tile(SPOTS.max(axis=0), (N, 1, 1, 1)))


NAMES = ("angle", "scale", "shift to the right", "shift down")
RANGES = ((-math.radians(15), math.radians(15)), (0.9, 1.1), (-0.15, 0.15), (-0.15, 0.15))
GIVEN = ["affine_matrices"]


def check_fit(misfit):
    """Every image is the old one, turned, scaled and moved."""
    if misfit.max() > 0.03:
        fail(
            "The image is not merely turned, scaled and moved.",
            hint="No mirror image, and the same transformation for all of an image.",
        )


@pytest.mark.question("augment", weight=3, given=GIVEN)
def test_augment_ranges(student, rng):
    """Angle, scale and both shifts are drawn evenly from their ranges."""
    N = 400
    result = augmented(student, spots(N), generator_of(student, rng.integers(1000)))
    *found, misfit = transformations(result.numpy())
    check_fit(misfit)
    for values, (low, high), name in zip(found, RANGES, NAMES, strict=True):
        slack = 0.03 * (high - low)
        if values.min() < low - slack or values.max() > high + slack:
            fail(
                f"The {name} leaves its range.",
                expected=f"from {low:.3g} to {high:.3g}",
                got=f"from {values.min():.3g} to {values.max():.3g}",
                hint="Angles are in radians; shifts in units of half the picture.",
            )
        place = np.sort((values - low) / (high - low))
        gap = np.max(np.abs(place - (np.arange(N) + 0.5) / N)) + 0.5 / N
        # sqrt(N) times the gap exceeds 3 once in 3e7 times (Kolmogorov and Smirnov); 0.03 for measuring.
        if gap > 3 / math.sqrt(N) + 0.03:
            fail(
                f"The {name} is not drawn evenly between {low:.3g} and {high:.3g}.",
                got=f"from {values.min():.3g} to {values.max():.3g}, {values.mean():.3g} on average",
            )


@pytest.mark.question("augment", given=GIVEN)
def test_augment_independent(student, rng):
    """The four random numbers of an image, and those of two images, do not depend on each other."""
    N = 300
    result = augmented(student, spots(N), generator_of(student, rng.integers(1000)))
    *found, misfit = transformations(result.numpy())
    check_fit(misfit)
    rows = np.stack([*found, *(np.roll(each, 1) for each in found)])
    if (rows.std(axis=1) < 1e-6).any():
        fail("All images are transformed alike.", hint="Draw len(images) numbers of each kind.")
    if np.abs(np.corrcoef(rows) - np.eye(8)).max() > 6 / math.sqrt(N):
        fail("Two of the random numbers depend on each other.", hint="Draw each of them anew.")


@pytest.mark.question("augment", given=GIVEN)
def test_augment_values(student, rng):
    """Channels are moved alike, values stay between 0 and 1, and what comes in from outside is 0."""
    one = np.tile(SPOTS, (20, 1, 1, 1))  # a spot in each of three channels
    images = torch.tensor(np.clip(one, 0, 1)).float()
    result = augmented(student, images, generator_of(student, rng.integers(1000))).numpy()
    if result.min() < -1e-6 or result.max() > 1 + 1e-6:
        fail("Values have left the range from 0 to 1.")
    check_fit(transformations(result.max(axis=1, keepdims=True))[-1])
    white = augmented(student, torch.ones(40, 1, 20, 20), generator_of(student, rng.integers(1000))).numpy()
    if not (white[:, 0, 10, 10] > 0.99).all() or white.min() > 0.5:
        fail("A white image should stay white in its middle, and get black corners now and then.")


@pytest.mark.question("augment", given=GIVEN)
def test_augment_seed(student, rng):
    """The generator decides: the same seed gives the same, the next call another, whatever else is drawn."""
    there = student.value("torch")
    images = torch.tensor(rng.random(size=(6, 1, 12, 12)))
    results = []
    for other in (1, 2):
        there.manual_seed(other)
        generator = generator_of(student, 11)
        results.append([augmented(student, images, generator).numpy() for _ in range(2)])
    hint = "torch.rand(..., generator=generator), and no other source of random numbers."
    assert_close(results[1], results[0], what="the images for the same seed", hint=hint)
    if np.allclose(results[0][0], results[0][1]):
        fail("Two calls with the same generator give the same.", hint="Draw from it; do not seed it.")


@pytest.mark.question("augment", given=GIVEN)
def test_augment_leaves_inputs(student, rng):
    """images are not modified; float32 stays float32."""
    images = torch.tensor(rng.random(size=(3, 1, 10, 14))).float()
    result = assert_unchanged(student.augment, images, generator_of(student, 2))
    if not isinstance(result, torch.Tensor) or result.dtype != torch.float32 or result.shape != images.shape:
        fail("augment should return a tensor like images.", value=result)
