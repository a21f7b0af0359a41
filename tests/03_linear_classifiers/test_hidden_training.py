"""Mini-batches, training, answers and the search for hyper-parameters."""

import numpy as np
import pytest

from autograder.checking import (
    assert_accuracy,
    assert_close,
    assert_learns,
    assert_unchanged,
    disguise,
    draw_linear_problem,
    fail,
)

STEP = ["sample_batch", "svm_loss_vectorized", "softmax_loss_vectorized"]
SEARCH = [*STEP, "train_linear_classifier", "predict"]


def several(result, count, text):
    """The results of a function that returns `count` of them."""
    if not isinstance(result, (tuple, list)) or len(result) != count:
        fail(f"The function should return {text}.", value=result)
    return result


def assert_labels(labels, expected, what="the class numbers", hint=""):
    """The labels are as expected; a list of them does as well as an array."""
    if isinstance(labels, list) and all(isinstance(label, (int, np.integer)) for label in labels):
        labels = np.array(labels)
    assert_close(labels, np.asarray(expected), what=what, hint=hint)


# --- sample_batch


def numbered(n):
    """n examples whose features name them: row i is (i, -i), of class i + 5."""
    i = np.arange(n)
    return np.stack([i, -i], axis=1).astype(float), i + 5


def draw(student, n, batch_size, seed):
    """The indices of the examples in a batch; fails unless the batch is made of rows and their labels."""
    X, y = numbered(n)
    result = several(student.sample_batch(X, y, batch_size, seed), 2, "X_batch and y_batch")
    X_batch, y_batch = result
    assert_close(list(np.shape(y_batch)), [batch_size], what="the shape of y_batch")
    i = np.asarray(y_batch) - 5
    if i.dtype.kind not in "iu" or i.min() < 0 or i.max() >= n:
        fail("y_batch holds class numbers that are not in y.", value=result)
    assert_close(X_batch, X[i], what="X_batch", hint="Pick the rows of X and of y with the same indices.")
    return i


@pytest.mark.question("sample_batch", weight=2)
@pytest.mark.parametrize(("n", "batch_size"), [(50, 10), (7, 7), (30, 1), (1, 1), (400, 64)])
def test_batches(student, rng, n, batch_size):
    """A batch has the size asked for, and each row keeps its class number."""
    for _ in range(4):
        draw(student, n, batch_size, int(rng.integers(2**31)))


@pytest.mark.question("sample_batch", weight=2)
def test_every_example_is_as_likely(student, rng):
    """Over many batches every example comes about as often as any other."""
    # 100 batches of 12 out of 24: each example is expected 50 times, with a deviation of at most 7 (drawing
    # none twice makes it smaller); 8 and 92 are six deviations away.
    counts = np.zeros(24, dtype=int)
    start = int(rng.integers(2**31))
    for seed in range(start, start + 100):
        counts += np.bincount(draw(student, 24, 12, seed), minlength=24)
    if counts.min() < 8 or counts.max() > 92:
        fail(
            "Some examples come too often or too seldom.",
            expected="each of 24 examples about 50 times in 100 batches of 12",
            got=f"{counts.tolist()} times",
            hint="Draw the indices from all of range(len(X)), each with the same probability.",
        )


@pytest.mark.question("sample_batch")
def test_no_neighbours_by_rule(student, rng):
    """Which examples come together does not depend on their order in X."""
    # Of 8 examples out of 200 drawn at random, 0.3 pairs are expected to be neighbours; over 20 batches 5.6.
    # A run of neighbours has 7 in each, 140 in all.
    pairs = 0
    for _ in range(20):
        i = np.sort(draw(student, 200, 8, int(rng.integers(2**31))))
        pairs += int(np.sum(np.diff(i) == 1))
    if pairs > 60:
        fail(
            "The examples of a batch stand side by side in X.",
            expected="about 6 pairs of neighbours in 20 batches of 8 out of 200",
            got=f"{pairs} pairs",
            hint="Draw each index for itself: in file order neighbours may be of one class.",
        )


@pytest.mark.question("sample_batch", weight=2)
def test_seeds(student, rng):
    """Equal seeds give equal batches, other seeds other ones, and a pair of numbers is a seed too."""
    numbers = [int(n) for n in rng.choice(10_000, size=3, replace=False)]
    a, b, c = numbers
    seeds = [a, b, (a, b), (b, a), (a, c), (a, b, c)]
    first = [draw(student, 500, 30, seed) for seed in seeds]
    again = [draw(student, 500, 30, seed) for seed in seeds]
    for seed, one, other in zip(seeds, first, again, strict=True):
        hint = "np.random.default_rng(seed), made anew in each call, decides everything."
        assert_close(other, one, what=f"the second batch of seed {seed}", hint=hint)
    for j, seed in enumerate(seeds):
        for k in range(j):
            if np.array_equal(first[j], first[k]):
                fail(f"Seeds {seeds[k]} and {seed} give the same batch.", hint="Use all of the seed.")


@pytest.mark.question("sample_batch")
def test_images_and_inputs(student, rng):
    """X may be images, in any dtype; X and y are not modified."""
    X = rng.integers(256, size=(40, 3, 2, 2)).astype(np.uint8)
    X[:, 0, 0, 0] = np.arange(40)
    y = rng.integers(10, size=40)
    X_batch, y_batch = several(assert_unchanged(student.sample_batch, X, y, 9, 3), 2, "X_batch and y_batch")
    assert_close(list(np.shape(X_batch)), [9, 3, 2, 2], what="the shape of X_batch")
    i = np.asarray(X_batch)[:, 0, 0, 0]
    assert_close(X_batch, X[i], what="X_batch")
    assert_close(y_batch, y[i], what="y_batch", hint="Pick X and y with the same indices.")


# --- train_linear_classifier


def as_list(history):
    """A loss history that came as an array does as well; its entries may be NumPy scalars."""
    if isinstance(history, np.ndarray) and history.ndim == 1:
        return history.tolist()
    return history


def check_run(student, reference, *arguments, **options):
    """W and loss_history of a run equal the reference's."""
    result = student.train_linear_classifier(*arguments, **options)
    W, history = several(result, 2, "W and loss_history")
    expected_W, expected_history = reference.train_linear_classifier(*arguments, **options)
    hint = "Entry t is the loss on batch t before the step; each step draws (seed, t)."
    assert_close(as_list(history), expected_history, what="loss_history", hint=hint)
    assert_close(W, expected_W, what="W", hint="W - learning_rate * dW, once for each step.")


@pytest.mark.question("train_linear_classifier", weight=3, given=STEP)
@pytest.mark.parametrize("loss", ["svm", "softmax"])
def test_runs(student, reference, rng, loss):
    """W and the loss history are those of the reference, for several rates, penalties and batch sizes."""
    for rate, reg, steps, batch_size in ((0.1, 0.0, 1, 9), (0.02, 0.6, 7, 4), (0.3, 0.05, 12, 1)):
        W, X, y, _ = draw_linear_problem(rng, 15, 4, 3)
        seed = int(rng.integers(1000))
        check_run(student, reference, loss, W, X, y, rate, reg, steps, batch_size, seed)


@pytest.mark.question("train_linear_classifier", given=STEP)
def test_absent_classes(student, reference, rng):
    """The number of classes is that of W, also where the last class does not occur."""
    W, X, y, _ = draw_linear_problem(rng, 12, 3, 6, absent=(0, 5))
    check_run(student, reference, "softmax", W, X, y, 0.2, 0.1, 5, 6, 1)


@pytest.mark.question("train_linear_classifier", given=STEP)
def test_defaults(student, reference, rng):
    """Arguments that are not given have the values of the stub."""
    W, X, y, _ = draw_linear_problem(rng, 230, 3, 3)
    check_run(student, reference, "svm", W, X, y, num_iters=4)
    check_run(student, reference, "softmax", W, X, y, 0.2, batch_size=50)


@pytest.mark.question("train_linear_classifier", given=STEP)
def test_no_step(student, rng):
    """Without a step the weights are those of the start, and the history is empty."""
    W, X, y, _ = draw_linear_problem(rng, 6, 3, 4)
    result = student.train_linear_classifier("svm", W, X, y, 0.1, 0.1, 0, 3, 0)
    got, history = several(result, 2, "W and loss_history")
    assert_close(as_list(history), [], what="loss_history")
    assert_close(got, W, what="W")


@pytest.mark.question("train_linear_classifier", given=STEP)
def test_training_leaves_its_inputs_alone(student, reference, rng):
    """The weights to start from, X and y are not modified."""
    W, X, y, _ = draw_linear_problem(rng, 8, 3, 4)
    result = assert_unchanged(student.train_linear_classifier, "softmax", W, X, y, 0.3, 0.1, 3, 4, 5)
    got, _ = several(result, 2, "W and loss_history")
    expected, _ = reference.train_linear_classifier("softmax", W, X, y, 0.3, 0.1, 3, 4, 5)
    assert_close(got, expected, what="W", hint="W -= ... changes the caller's array: write W = W - ...")


@pytest.mark.question("train_linear_classifier", weight=2, given=STEP)
def test_digits(student, rng, data):
    """At least 80 % of handwritten digits that nobody has seen are recognised after 200 steps."""
    digits = data("digits")
    images, y, classes = disguise(digits.x_train, digits.y_train, rng, noise=0.1, shift=0)
    unseen, y_test, _ = disguise(digits.x_test, digits.y_test, rng, noise=0.1, permutation=classes)
    mean = images.mean(axis=0)
    X, X_test = (np.hstack([(i - mean).reshape(len(i), -1), np.ones((len(i), 1))]) for i in (images, unseen))
    result = student.train_linear_classifier("softmax", np.zeros((65, 10)), X, y, 0.3, 1e-3, 200, 50, 0)
    W, history = several(result, 2, "W and loss_history")
    assert_learns(as_list(history), by_factor=3)
    assert_close(list(np.shape(W)), [65, 10], what="the shape of W")
    assert_accuracy(np.argmax(X_test @ W, axis=1), y_test, 0.80, what="accuracy on unseen digits")


# --- predict


@pytest.mark.question("predict", weight=2)
@pytest.mark.parametrize("shape", [(6, 4, 3), (1, 3, 5), (12, 2, 2), (5, 7, 11), (9, 1, 4), (4, 6, 4)])
def test_answers(student, reference, rng, shape):
    """The class with the highest score is returned, for any number of pictures, features and classes."""
    W, X, _, _ = draw_linear_problem(rng, *shape)
    hint = "One number per picture: the index of the largest score in its row."
    assert_labels(student.predict(W, X), reference.predict(W, X), hint=hint)
    assert_labels(student.predict(W - 50, X), reference.predict(W - 50, X), hint=hint)


@pytest.mark.question("predict")
def test_equal_scores(student):
    """Of equal scores the smaller class number wins."""
    scores = np.array(
        [[2.0, 5.0, 5.0, 1.0], [0.0, 0.0, 0.0, 0.0], [7.0, 1.0, 0.0, 7.0], [-1.0, -3.0, -1.0, -1.0]]
    )
    assert_labels(student.predict(scores, np.eye(4)), np.array([1, 0, 0, 0]))


@pytest.mark.question("predict")
def test_predict_leaves_its_inputs_alone(student, reference, rng):
    """W and X are not modified; float32 and large scores are accepted."""
    W, X, _, _ = draw_linear_problem(rng, 7, 3, 5)
    expected = reference.predict(W, X)
    assert_labels(assert_unchanged(student.predict, W, X), expected)
    assert_labels(student.predict(W.astype(np.float32), X.astype(np.float32)), expected)
    assert_labels(student.predict(1e5 * W, X), expected, hint="No exponential is needed to find the largest.")


# --- search_hyperparameters


def groups(rng, n):
    """Three overlapping groups of points, with the feature that is 1."""
    y = rng.permutation(np.arange(n) % 3)
    centres = np.array([[1.0, 0.0], [-0.6, 0.8], [-0.6, -0.8]])
    return np.hstack([centres[y] + 0.7 * rng.normal(size=(n, 2)), np.ones((n, 1))]), y


def check_search(student, reference, *arguments, **options):
    """results, best and best_W equal the reference's."""
    result = student.search_hyperparameters(*arguments, **options)
    results, best, best_W = several(result, 3, "results, best and best_W")
    if not isinstance(results, dict):
        fail("results should be a dict that maps each pair to its two accuracies.", value=result)
    expected_results, expected_best, expected_W = reference.search_hyperparameters(*arguments, **options)
    values = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in results.items()}
    hint = "(learning_rate, reg): (training accuracy, validation accuracy), from 0 to 1."
    assert_close(values, expected_results, what="results", hint=hint)
    hint = "The highest validation accuracy; of equals the one that is tried first."
    assert_close(best, expected_best, what="best", hint=hint)
    assert_close(best_W, expected_W, what="best_W", hint="The weights of the best run.")


@pytest.mark.question("search_hyperparameters", weight=3, given=SEARCH)
@pytest.mark.parametrize("loss", ["svm", "softmax"])
def test_searches(student, reference, rng, loss):
    """Accuracies, choice and weights are those of the reference."""
    for rates, regs in (([1e-3, 0.1, 1.0], [0.0, 1.0]), ([0.5], [10.0, 1e-2, 0.3]), ([1.0, 0.01], [0.05])):
        X, y = groups(rng, 30)
        X_val, y_val = groups(rng, 21)
        W, seed = rng.normal(size=(3, 3)), int(rng.integers(1000))
        check_search(student, reference, loss, W, X, y, X_val, y_val, rates, regs, 6, 5, seed)


@pytest.mark.question("search_hyperparameters", given=SEARCH)
def test_the_first_of_equals(student, reference, rng):
    """Where several pairs are equally good, the one that is tried first is chosen."""
    X, y = groups(rng, 24)
    W = rng.normal(size=(3, 3))
    # Steps so small that no answer changes: all pairs are equal but for W.
    for rates, regs in (([3e-9, 1e-9], [2.0, 0.5, 1.0]), ([1e-9, 2e-9, 3e-9], [0.1, 0.0])):
        check_search(student, reference, "svm", W, X, y, X[:9], y[:9], rates, regs, 2, 4, 0)


@pytest.mark.question("search_hyperparameters", given=SEARCH)
def test_the_validation_set_chooses(student, reference, rng):
    """The validation set chooses, even where the training accuracy says the opposite."""
    X, y = groups(rng, 30)
    # On labels moved on by one class, what learns the training set is worse than what does not.
    for rates in ([1.0, 1e-6], [1e-6, 1.0]):
        W = np.array([[1.0, -0.6, -0.6], [0.0, 0.8, -0.8], [0.0, 0.0, 0.0]])
        check_search(
            student, reference, "softmax", np.roll(W, 1, axis=1), X, y, X, (y + 1) % 3, rates, [0.0], 15, 10
        )


@pytest.mark.question("search_hyperparameters", given=SEARCH)
def test_all_wrong(student, reference, rng):
    """A search in which every validation accuracy is 0 still chooses the first pair."""
    X, y = groups(rng, 12)
    W = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])  # says class 0, whatever it sees
    X_val, y_val = X[y != 0], y[y != 0]
    check_search(student, reference, "svm", W, X, y, X_val, y_val, [1e-6, 2e-6], [0.0, 0.1], 2, 4, 3)


@pytest.mark.question("search_hyperparameters", given=SEARCH)
def test_search_defaults_and_inputs(student, reference, rng):
    """Arguments that are not given have the values of the stub, and no array is modified."""
    X, y = groups(rng, 210)
    X_val, y_val = groups(rng, 33)
    arguments = "svm", np.zeros((3, 3)), X, y, X_val, y_val, [0.003, 0.1], [0.01]
    check_search(student, reference, *arguments)
    result = several(assert_unchanged(student.search_hyperparameters, *arguments), 3, "three things")
    assert_close(result[1], reference.search_hyperparameters(*arguments)[1], what="best")
