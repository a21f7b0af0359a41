"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_unchanged, fail

# At grading, a question that builds on these is tested with right ones, so that an error is not paid for
# twice.
GIVEN = [
    "compute_distances_two_loops",
    "compute_distances_one_loop",
    "compute_distances_no_loops",
    "predict_labels",
]

# Each of these tests runs once for each of the three functions, as a test of that question.
each_version = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "compute_distances_two_loops", marks=pytest.mark.question("compute_distances_two_loops")
        ),
        pytest.param("compute_distances_one_loop", marks=pytest.mark.question("compute_distances_one_loop")),
        pytest.param("compute_distances_no_loops", marks=pytest.mark.question("compute_distances_no_loops")),
    ],
)


def assert_labels(labels, expected, what="the labels", hint=""):
    """The labels are as expected; a list of them does as well as an array."""
    if isinstance(labels, list) and all(isinstance(label, (int, float, np.generic)) for label in labels):
        labels = np.array(labels)
    assert_close(labels, np.asarray(expected), what=what, hint=hint)


# --- distances

X_TRAIN = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0]])
X_TEST = np.array([[0.0, 0.0], [3.0, 0.0]])


@each_version
def test_distances_by_hand(student, name):
    """Three training and two test points in the plane, worked by hand; the points are not changed."""
    assert_close(
        assert_unchanged(getattr(student, name), X_TRAIN, X_TEST),
        np.array([[0.0, 9.0], [25.0, 16.0], [2.0, 5.0]]),
        what="the distances",
        hint="Row i is training point i, column j test point j. Sum the squared differences; take no root.",
    )


@each_version
def test_images_are_flattened(student, name):
    """Images of any shape are compared pixel by pixel."""
    train = np.arange(12.0).reshape(2, 1, 2, 3)  # two images, 0..5 and 6..11
    test = np.zeros((1, 1, 2, 3))
    assert_close(
        getattr(student, name)(train, test),
        np.array([[55.0], [451.0]]),  # 0 + 1 + 4 + ... + 25 and 36 + 49 + ... + 121
        what="the distances",
        hint="x.reshape(len(x), -1) makes a row of each image.",
    )


@each_version
def test_bytes_do_not_overflow(student, name):
    """Pixels that are unsigned bytes give the same distances as numbers do."""
    train, test = np.array([[3], [250]], dtype=np.uint8), np.array([[5], [0]], dtype=np.uint8)
    assert_close(
        getattr(student, name)(train, test),
        np.array([[4.0, 9.0], [60025.0, 62500.0]]),
        what="the distances",
        hint="In unsigned bytes 3 - 5 is 254 and 16 * 16 is 0: turn the pixels into floats first.",
    )


@pytest.mark.question("compute_distances_no_loops")
def test_no_loops_is_fast(student, budget):
    """90,000 distances take milliseconds."""
    x = np.eye(300, 64)
    assert_close(student.compute_distances_no_loops(x, x)[:2, :2], np.array([[0.0, 2.0], [2.0, 0.0]]))
    seconds = budget.seconds(student.compute_distances_no_loops, x, x)
    if seconds > 0.1:  # two loops need 0.3 s or more, a matrix product 0.005 s
        fail(
            f"90,000 distances took {seconds:.2f} s; without a Python loop they take about 0.01 s.",
            hint="Multiply the square out: two vectors of sums of squares, and one matrix product.",
        )


# --- predict_labels

DISTS = np.array(
    [
        [0.1, 9.0],
        [0.2, 8.0],
        [0.3, 0.1],
        [0.4, 0.2],
    ]
)


@pytest.mark.question("predict_labels")
def test_the_nearest_one_decides(student):
    """With k = 1 the nearest training example gives its label."""
    labels = student.predict_labels(DISTS, np.array([7, 5, 3, 5]))
    assert_labels(labels, [7, 3], hint="Look for the smallest entry of each column.")


@pytest.mark.question("predict_labels")
def test_the_majority_decides(student):
    """With k = 3 two votes beat one."""
    # Column 0: labels 7, 5, 5.  Column 1: labels 5 (row 2), 5 (row 3), then 7 (row 1).
    labels = student.predict_labels(DISTS, np.array([7, 7, 5, 5]), k=3)
    assert_labels(labels, [7, 5], hint="The label, not the index, that occurs most often.")


@pytest.mark.question("predict_labels")
def test_a_tie_goes_to_the_smaller_label(student):
    """One vote for 9 and one for 4: the answer is 4, although 9 is nearer."""
    labels = student.predict_labels(np.array([[0.1], [0.2], [0.7]]), np.array([9, 4, 9]), k=2)
    assert_labels(labels, [4], hint="Among the labels with the most votes take the smallest.")


# --- KNNClassifier


@pytest.mark.question("knn_classifier", given=GIVEN)
def test_classifier_by_hand(student):
    """Five points on a line, worked by hand."""
    classifier = student.KNNClassifier(
        np.array([[0.0], [1.0], [2.0], [10.0], [11.0]]), np.array([1, 0, 0, 5, 5])
    )
    x = np.array([[0.2], [10.6]])
    assert_labels(classifier.predict(x), [1, 5], what="the labels for k = 1")
    assert_labels(classifier.predict(x, k=3), [0, 5], "the labels for k = 3", hint="Does predict pass k on?")


@pytest.mark.question("knn_classifier", given=GIVEN)
def test_accuracy_is_a_share(student):
    """Three of four predictions are right: the accuracy is 0.75."""
    classifier = student.KNNClassifier(np.array([[0.0], [10.0]]), np.array([0, 1]))
    x, y = np.array([[1.0], [2.0], [8.0], [9.0]]), np.array([0, 0, 1, 0])
    assert_close(classifier.accuracy(x, y), 0.75, what="the accuracy", hint="The mean of predict(x, k) == y.")
    # With two neighbours every vote is tied and goes to label 0.
    y = np.array([1, 1, 1, 1])
    assert_close(
        classifier.accuracy(x, y, k=2), 0.0, what="the accuracy for k = 2", hint="Pass k to predict."
    )


# --- cross_validate

LINE = np.array([[0.0], [10.0], [1.0], [11.0], [2.0], [12.0]])
SIDES = np.array([0, 1, 0, 1, 0, 1])


@pytest.mark.question("cross_validate", given=GIVEN)
def test_two_clear_groups(student):
    """Two groups far apart are told apart in every fold."""
    results = student.cross_validate(LINE, SIDES, 3, [1, 3])
    assert_close(sorted(results), [1, 3], what="the keys", hint="One key for each k.")
    for k in (1, 3):
        assert_close(
            list(results[k]), [1.0, 1.0, 1.0], what=f"the accuracies for k = {k}", hint="One for each fold."
        )


@pytest.mark.question("cross_validate", given=GIVEN)
def test_folds_by_hand(student):
    """Five points in two folds, worked by hand: the first fold has three, the second two."""
    # Fold 0 holds 0, 1, 2 out; the nearest of {3, 4} to each is 3, with label 1: one of three labels is 1.
    # Fold 1 holds 3, 4 out; the nearest of {0, 1, 2} to both is 2, with label 1: one of two labels is 1.
    x, y = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]]), np.array([0, 0, 1, 1, 0])
    results = student.cross_validate(x, y, 2, [1, 2])
    hint = "Consecutive pieces, cut by np.array_split; the fold held out is not among the neighbours."
    assert_close(list(results[1]), [1 / 3, 1 / 2], what="the accuracies for k = 1", hint=hint)
    # With two neighbours every vote is tied and goes to label 0: two of three are right, then one of two.
    assert_close(list(results[2]), [2 / 3, 1 / 2], what="the accuracies for k = 2", hint="Vote with this k.")


# --- best_k


@pytest.mark.question("best_k")
def test_the_highest_mean_wins(student):
    """The mean over the folds decides, not the best single fold."""
    results = {1: [0.0, 1.0], 3: [0.75, 0.5], 5: [0.25, 0.5]}
    assert_close(student.best_k(results), 3, what="the chosen k", hint="Means: 0.5, 0.625 and 0.375.")


@pytest.mark.question("best_k")
def test_of_equals_the_smallest_k_wins(student):
    """Of several k with the same mean, the smallest is chosen, in whatever order they come."""
    results = {4: [1.0, 0.5], 9: [0.5, 1.0], 2: [0.75, 0.75], 1: [0.25, 0.5]}
    assert_close(student.best_k(results), 2, what="the chosen k", hint="4, 9 and 2 have the same mean.")
