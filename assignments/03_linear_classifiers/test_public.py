"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_gradients, assert_unchanged, fail

# At grading, a question that builds on these is tested with right ones, so that an error is not paid for
# twice.
STEP = ["sample_batch", "svm_loss_vectorized", "softmax_loss_vectorized"]
SEARCH = [*STEP, "train_linear_classifier", "predict"]


# Each of these tests runs once for the naive and once for the vectorized version, as a test of that question.
each_svm = pytest.mark.parametrize(
    "name",
    [
        pytest.param("svm_loss_naive", marks=pytest.mark.question("svm_loss_naive")),
        pytest.param("svm_loss_vectorized", marks=pytest.mark.question("svm_loss_vectorized")),
    ],
)
each_softmax = pytest.mark.parametrize(
    "name",
    [
        pytest.param("softmax_loss_naive", marks=pytest.mark.question("softmax_loss_naive")),
        pytest.param("softmax_loss_vectorized", marks=pytest.mark.question("softmax_loss_vectorized")),
    ],
)


def loss_and_gradient(result):
    """The two results of a loss; fails when there are not two."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        fail("A loss function should return two things: the loss, and dW.", value=result)
    return result


def assert_labels(labels, expected, what="the class numbers", hint=""):
    """The labels are as expected; a list of them does as well as an array."""
    if isinstance(labels, list) and all(isinstance(label, (int, np.integer)) for label in labels):
        labels = np.array(labels)
    assert_close(labels, np.asarray(expected), what=what, hint=hint)


# --- the SVM loss

# Two pictures of two features, three classes. The scores are (5, 2, 0) and (1, -1, -3.5).
X = np.array([[1.0, 2.0], [3.0, -1.0]])
W = np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.5]])


@each_svm
def test_svm_loss_by_hand(student, name):
    """Two pictures and three classes, worked by hand; W, X and y are not changed."""
    # Picture 0 is of class 0 and meets both margins. Picture 1 is of class 1: class 0 leads it by 2, so that
    # 2 + 1 = 3 are missing; class 2 is 2.5 behind.
    loss, dW = loss_and_gradient(assert_unchanged(getattr(student, name), W, X, np.array([0, 1]), 0.0))
    assert_close(
        loss, 1.5, what="the loss", hint="The margins missed are 0, 0 and 3, 0; divide by two pictures."
    )
    hint = "Only class 0 of picture 1 misses: its x / 2 is added to column 0, and subtracted from column 1."
    assert_close(dW, np.array([[1.5, -1.5, 0.0], [-0.5, 0.5, 0.0]]), what="dW", hint=hint)


@each_svm
def test_svm_penalty_by_hand(student, name):
    """The penalty is reg times the sum of the squares of W."""
    loss, dW = loss_and_gradient(getattr(student, name)(W, X, np.array([0, 1]), 2.0))
    hint = "The squares of W add up to 7.25."
    assert_close(loss, 1.5 + 2 * 7.25, what="the loss with reg = 2", hint=hint)
    expected = np.array([[1.5, -1.5, 0.0], [-0.5, 0.5, 0.0]]) + 4 * W
    assert_close(dW, expected, what="dW with reg = 2", hint="The penalty adds 2 * reg * W.")


@each_svm
def test_svm_loss_at_the_start(student, name):
    """With W = 0 every wrong class misses its margin by 1: the loss is C - 1."""
    for C in (2, 5, 10):
        y = np.array([1, 0, 1])
        loss, _ = loss_and_gradient(getattr(student, name)(np.zeros((2, C)), np.ones((3, 2)), y, 1.0))
        hint = "The right class itself does not count: leave j = y_i out."
        assert_close(loss, C - 1.0, what=f"the loss of {C} classes with W = 0", hint=hint)


@each_svm
def test_svm_gradient_is_the_derivative(student, name):
    """dW agrees with finite differences of your own loss, in every entry."""
    check_gradient(getattr(student, name), num_classes=4)


# --- the softmax loss

LOGS = np.log([[1.0, 2.0, 5.0], [3.0, 1.0, 4.0]])  # with one feature per picture these are the scores


@each_softmax
def test_softmax_loss_by_hand(student, name):
    """Two pictures and three classes, worked by hand; W, X and y are not changed."""
    # The probabilities are (1, 2, 5) / 8 and (3, 1, 4) / 8.
    y = np.array([2, 1])
    loss, dW = loss_and_gradient(assert_unchanged(getattr(student, name), LOGS, np.eye(2), y, 0.0))
    hint = "The probabilities of the right classes are 5/8 and 1/8: the mean of -log of them."
    assert_close(loss, (np.log(8 / 5) + np.log(8)) / 2, rtol=1e-6, what="the loss", hint=hint)
    hint = "Probabilities minus 1 at the right class, times x, divided by N."
    assert_close(dW, np.array([[1.0, 2.0, -3.0], [3.0, -7.0, 4.0]]) / 16, what="dW", hint=hint)


@each_softmax
def test_softmax_penalty_by_hand(student, name):
    """The penalty is reg times the sum of the squares of W."""
    # All scores of this picture are 0, whatever W is.
    x, y = np.zeros((1, 2)), np.array([0])
    loss, dW = loss_and_gradient(getattr(student, name)(W, x, y, 2.0))
    assert_close(loss, np.log(3) + 2 * 7.25, what="the loss", hint="The squares of W add up to 7.25.")
    assert_close(dW, 4 * W, what="dW", hint="The penalty adds 2 * reg * W.")


@each_softmax
def test_softmax_loss_at_the_start(student, name):
    """With W = 0 all classes are equally likely: the loss is log C."""
    for C in (2, 5, 10):
        y = np.array([1, 0, 1])
        loss, _ = loss_and_gradient(getattr(student, name)(np.zeros((2, C)), np.ones((3, 2)), y, 1.0))
        assert_close(loss, np.log(C), what=f"the loss of {C} classes with W = 0")


@each_softmax
def test_softmax_gradient_is_the_derivative(student, name):
    """dW agrees with finite differences of your own loss, in every entry."""
    check_gradient(getattr(student, name), num_classes=4)


@each_softmax
def test_softmax_of_large_scores(student, name):
    """Scores around 1000 give a finite loss: log 2 for two equal ones."""
    scores, y = np.array([[1000.0, 1000.0]]), np.array([0])
    loss, dW = loss_and_gradient(getattr(student, name)(scores, np.ones((1, 1)), y, 0.0))
    hint = "exp(1000) is infinite: subtract each picture's largest score from its scores first."
    assert_close(loss, np.log(2), what="the loss", hint=hint)
    assert_close(dW, np.array([[-0.5, 0.5]]), what="dW", hint=hint)


def check_gradient(function, num_classes):
    """dW against central differences of the loss, with a penalty. No margin is near its kink."""
    weights = np.sin(1.0 + 2.7 * np.arange(3 * num_classes)).reshape(3, num_classes)
    x = np.cos(2.0 + 1.3 * np.arange(15)).reshape(5, 3)
    y = np.array([2, 0, 1, 1, 0])  # nothing of the last class

    def loss(W):
        return loss_and_gradient(function(W, x, y, 0.7))[0]

    _, dW = loss_and_gradient(function(weights, x, y, 0.7))
    assert_gradients({"W": dW}, loss, {"W": weights})


# --- sample_batch


@pytest.mark.question("sample_batch")
def test_rows_keep_their_labels(student):
    """A batch holds rows of X, each with its own class number."""
    x = np.arange(40.0).reshape(20, 2)  # row i is (2i, 2i + 1)
    y = np.arange(20) % 7
    result = student.sample_batch(x, y, 6, 3)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        fail("sample_batch should return two things: X_batch and y_batch.", value=result)
    X_batch, y_batch = result
    assert_close(list(np.shape(X_batch)), [6, 2], what="the shape of X_batch")
    i = np.asarray(X_batch)[:, 0] / 2
    assert_close(X_batch, np.stack([2 * i, 2 * i + 1], axis=1), what="X_batch", hint="Take whole rows of X.")
    hint = "Pick X and y with the same indices."
    assert_close(y_batch, i.astype(int) % 7, what="y_batch", hint=hint)


@pytest.mark.question("sample_batch")
def test_the_seed_decides(student):
    """Equal seeds give equal batches, other seeds other ones."""
    x, y = np.arange(1000.0)[:, np.newaxis], np.arange(1000)
    batches = {seed: student.sample_batch(x, y, 20, seed)[1] for seed in (0, 1, (0, 1), (1, 0))}
    for seed, batch in batches.items():
        assert_close(list(np.shape(batch)), [20], what="the shape of y_batch")
        again = student.sample_batch(x, y, 20, seed)[1]
        assert_close(
            again, batch, what=f"y_batch of seed {seed}, drawn again", hint="Use np.random.default_rng(seed)."
        )
    for other in (1, (0, 1), (1, 0)):
        if np.array_equal(batches[0], batches[other]):
            fail(f"Seeds 0 and {other} give the same batch.", hint="Use the seed that is given.")


# --- train_linear_classifier

# Every picture is the same, so that every batch is.
SAME_X, SAME_Y = np.tile([[1.0, -2.0]], (8, 1)), np.ones(8, dtype=int)


@pytest.mark.question("train_linear_classifier", given=STEP)
def test_two_steps_by_hand(student):
    """Two steps of the SVM on pictures that are all the same, worked by hand."""
    # From W = 0: class 0 misses its margin by 1, dW = x added to column 0 and subtracted from column 1.
    # After a step of 0.05 the lead of class 1 is 0.1 * |x|^2 = 0.5: the margin is missed by 0.5.
    start = np.zeros((2, 2))
    W, history = train(student, "svm", start, SAME_X, SAME_Y, 0.05, 0.0, 2, 4, 0)
    hint = "Note the loss of the batch, then move: W - learning_rate * dW."
    assert_close(list(history), [1.0, 0.5], what="loss_history", hint=hint)
    assert_close(W, np.array([[-0.1, 0.1], [0.2, -0.2]]), what="W after two steps", hint=hint)


@pytest.mark.question("train_linear_classifier", given=STEP)
def test_each_step_draws_its_batch(student):
    """Three steps are those that your own loss gives on the batches that your own sample_batch draws."""
    x = np.cos(1.0 + 1.7 * np.arange(60)).reshape(20, 3)
    y = np.arange(20) % 4
    expected, losses = np.sin(np.arange(12.0)).reshape(3, 4), []
    W, history = train(student, "softmax", expected, x, y, 0.3, 0.1, 3, 5, 8)
    for t in range(3):
        loss, dW = student.softmax_loss_vectorized(expected, *student.sample_batch(x, y, 5, (8, t)), 0.1)
        losses.append(loss)
        expected = expected - 0.3 * dW
    hint = "Step t draws sample_batch(X, y, batch_size, (seed, t)), with t from 0."
    assert_close(list(history), losses, what="loss_history", hint=hint)
    assert_close(W, expected, what="W after three steps", hint=hint)


@pytest.mark.question("train_linear_classifier", given=STEP)
def test_the_start_is_kept(student):
    """The weights to start from are not modified."""
    start = np.full((2, 2), 0.5)
    W, _ = assert_unchanged(student.train_linear_classifier, "softmax", start, SAME_X, SAME_Y, 0.1, 0.0, 1, 4)
    # Both classes have probability 1/2, so that dW is (x / 2, -x / 2).
    assert_close(W, np.array([[0.45, 0.55], [0.6, 0.4]]), what="W after one step")


def train(student, *arguments):
    """The two results of a training run; fails when there are not two."""
    result = student.train_linear_classifier(*arguments)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        fail("train_linear_classifier should return two things: W and loss_history.", value=result)
    return result


# --- predict


@pytest.mark.question("predict")
def test_the_highest_score_wins(student):
    """The scores (5, 2, 0) and (1, -1, -3.5) are won by class 0, (-2, 1, 3.5) by class 2."""
    x = np.array([[1.0, 2.0], [3.0, -1.0], [-3.0, 1.0]])
    labels = student.predict(W, x)
    assert_labels(labels, [0, 0, 2], hint="One class number per picture: argmax of X @ W along axis 1.")


@pytest.mark.question("predict")
def test_equal_scores(student):
    """Of equal scores the smaller class number wins."""
    assert_labels(student.predict(np.array([[1.0, 3.0, 3.0]]), np.array([[1.0], [-1.0], [0.0]])), [1, 0, 0])


# --- search_hyperparameters


def search(student, *arguments, **options):
    """The three results of a search; fails when there are not three."""
    result = student.search_hyperparameters(*arguments, **options)
    if not isinstance(result, (tuple, list)) or len(result) != 3:
        fail("search_hyperparameters should return three things: results, best and best_W.", value=result)
    return result


@pytest.mark.question("search_hyperparameters", given=SEARCH)
def test_search_by_hand(student):
    """One feature and two classes: a tiny step learns, a negative one learns the opposite."""
    x, y = np.array([[1.0], [2.0], [-1.0], [-3.0]]), np.array([1, 1, 0, 0])
    x_val, y_val = np.array([[1.5], [-2.0], [0.5], [-0.1]]), np.array([1, 0, 1, 1])
    results, best, best_W = search(
        student,
        "softmax",
        np.zeros((1, 2)),
        x,
        y,
        x_val,
        y_val,
        [-0.1, 0.1],
        [0.0, 0.5],
        num_iters=20,
        batch_size=4,
    )
    expected = {
        (-0.1, 0.0): (0.0, 0.25),
        (-0.1, 0.5): (0.0, 0.25),
        (0.1, 0.0): (1.0, 0.75),
        (0.1, 0.5): (1.0, 0.75),
    }
    assert_close(
        {key: list(value) for key, value in results.items()},
        {key: list(value) for key, value in expected.items()},
        what="results",
        hint="Each pair (learning_rate, reg) has its training and its validation accuracy.",
    )
    hint = "The highest validation accuracy; of equals the one that is tried first."
    assert_close(list(best), [0.1, 0.0], what="best", hint=hint)
    W, _ = student.train_linear_classifier("softmax", np.zeros((1, 2)), x, y, 0.1, 0.0, 20, 4)
    assert_close(best_W, W, what="best_W", hint="The weights of the best run, not of the last.")
