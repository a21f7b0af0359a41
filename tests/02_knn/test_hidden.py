"""The suite that grades 02_knn: the distances."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_unchanged

DISTANCES = ["compute_distances_two_loops", "compute_distances_one_loop", "compute_distances_no_loops"]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32 is accurate enough for finding neighbours
HINT = "Element (i, j) is the sum over all pixels of (x_train[i] - x_test[j]) ** 2, without a root."


def each_version(weight=1):
    """The test once for each of the three functions, as a test of that question."""
    marks = [pytest.param(name, marks=pytest.mark.question(name, weight=weight)) for name in DISTANCES]
    return pytest.mark.parametrize("name", marks)


def squared_distances(x_train, x_test):
    """The definition, in float64."""
    a = np.asarray(x_train, dtype=np.float64).reshape(len(x_train), 1, -1)
    b = np.asarray(x_test, dtype=np.float64).reshape(1, len(x_test), -1)
    return ((a - b) ** 2).sum(axis=2)


def check_values(student, rng, name, num_train, num_test, shape):
    """One call, against the definition."""
    x_train, x_test = rng.normal(size=(num_train, *shape)), rng.normal(size=(num_test, *shape)) + 0.5
    distances = getattr(student, name)(x_train, x_test)
    assert_close(distances, squared_distances(x_train, x_test), what="the distances", hint=HINT, **CLOSE)


@each_version(weight=2)
def test_values(student, rng, name):
    """All squared distances are right, for any number of examples and images of any shape."""
    for num_train, num_test, shape in ((5, 7, (12,)), (7, 5, (2, 3, 4)), (4, 4, (6,)), (3, 2, (1,))):
        check_values(student, rng, name, num_train, num_test, shape)


@each_version()
def test_a_single_image(student, rng, name):
    """A single test image, or a single training image, still gives a matrix of distances."""
    check_values(student, rng, name, 6, 1, (3, 5))
    check_values(student, rng, name, 1, 4, (1, 2, 3))


@each_version()
def test_whole_numbers(student, rng, name):
    """Pixels that are whole numbers, bytes above all, neither overflow nor are rounded."""
    hint = "Bytes wrap around at 256: turn the pixels into floats before you subtract, square or multiply."
    for dtype in (np.uint8, np.int16, np.int64):
        x_train = rng.integers(0, 256, size=(6, 3, 4)).astype(dtype)
        x_test = rng.integers(0, 256, size=(5, 3, 4)).astype(dtype)
        distances = getattr(student, name)(x_train, x_test)
        expected = squared_distances(x_train, x_test)
        assert_close(distances, expected, what="the distances", hint=hint, **CLOSE)


@each_version()
def test_float32(student, rng, name):
    """Pixels in float32 give the same distances, to the accuracy of float32."""
    x_train = rng.uniform(size=(6, 4, 4)).astype(np.float32)
    x_test = rng.uniform(size=(3, 4, 4)).astype(np.float32)
    distances = getattr(student, name)(x_train, x_test)
    expected = squared_distances(x_train, x_test)
    assert_close(distances, expected, what="the distances", hint=HINT, **CLOSE)


@each_version()
def test_distance_to_itself(student, rng, name):
    """An image has distance 0 to itself (up to rounding), and the distances are symmetric."""
    x = rng.uniform(1.0, 2.0, size=(6, 10))
    distances = getattr(student, name)(x, x)
    assert_close(distances, squared_distances(x, x), what="the distances", hint=HINT, **CLOSE)


@each_version()
def test_inputs_stay_as_they_are(student, rng, name):
    """The arrays that were passed in are not changed, and a second call gives the same distances."""
    x_train, x_test = rng.normal(size=(4, 2, 3)), rng.normal(size=(3, 2, 3))
    for _ in range(2):
        distances = assert_unchanged(getattr(student, name), x_train, x_test)
        assert_close(distances, squared_distances(x_train, x_test), what="the distances", hint=HINT, **CLOSE)


@pytest.mark.question("compute_distances_one_loop")
def test_one_loop_is_faster_than_two(student, reference, rng, budget):
    """With one loop, small images are compared at least three times as fast as with two."""
    # The solution is about 40 times as fast as its two loops here; the transfer of the arrays counts, too.
    x_train, x_test = rng.normal(size=(150, 40)), rng.normal(size=(60, 40))
    distances = student.compute_distances_one_loop(x_train, x_test)
    assert_close(distances, squared_distances(x_train, x_test), what="the distances", hint=HINT, **CLOSE)
    hint = "Compare one image with all others in a single NumPy expression."
    budget.assert_faster(
        lambda: student.compute_distances_one_loop(x_train, x_test),
        lambda: reference.compute_distances_two_loops(x_train, x_test),
        3,
        what="compute_distances_one_loop",
        hint=hint,
    )


@pytest.mark.question("compute_distances_no_loops", weight=2)
def test_no_loops_is_much_faster_than_two(student, reference, rng, budget):
    """Without a loop, the distances are computed at least five times as fast as with two."""
    # A matrix product is some 600 times as fast as two loops here, one big broadcast subtraction 50 times,
    # and two loops hidden in a comprehension or in np.vectorize at most twice.
    x_train, x_test = rng.normal(size=(150, 40)), rng.normal(size=(60, 40))
    distances = student.compute_distances_no_loops(x_train, x_test)
    assert_close(distances, squared_distances(x_train, x_test), what="the distances", hint=HINT, **CLOSE)
    hint = "Multiply the square out: two vectors of sums of squares, and one matrix product."
    budget.assert_faster(
        lambda: student.compute_distances_no_loops(x_train, x_test),
        lambda: reference.compute_distances_two_loops(x_train, x_test),
        5,
        what="compute_distances_no_loops",
        hint=hint,
    )
