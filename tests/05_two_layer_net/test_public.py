"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_gradients, assert_unchanged, fail

# At grading, a question that builds on these is tested with right ones, so that an error is not paid for
# twice.
FORWARD = ["nn_forward_pass"]
TRAINING = ["sample_batch", "nn_forward_pass", "nn_forward_backward", "nn_predict"]
SEARCH = [*TRAINING, "initialize", "nn_train"]

KEYS = ("W1", "b1", "W2", "b2")


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


# --- nn_forward_pass

# Two pictures of two features, three hidden units, two classes.
X = np.array([[1.0, 2.0], [3.0, -1.0]])
PARAMS = {
    "W1": np.array([[1.0, -1.0, 0.0], [1.0, 0.0, -2.0]]),
    "b1": np.array([-1.0, 2.0, 1.0]),
    "W2": np.array([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0]]),
    "b2": np.array([-4.0, 0.5]),
}


@pytest.mark.question("nn_forward_pass")
def test_forward_by_hand(student):
    """Two pictures, three hidden units and two classes, worked by hand; nothing is changed."""
    # X @ W1 is [[3, -1, -4], [2, -3, 2]]; with b1 [[2, 1, -3], [1, -1, 3]].
    result = assert_unchanged(student.nn_forward_pass, PARAMS, X)
    scores, hidden = several(result, 2, "two things: the scores, and the hidden units")
    hint = "X @ W1 + b1, then max(., 0) of each element. Scores first, hidden second."
    assert_close(hidden, np.array([[2.0, 1.0, 0.0], [1.0, 0.0, 3.0]]), what="hidden", hint=hint)
    # hidden @ W2 is [[4, -1], [1, 9]].
    hint = "hidden @ W2 + b2, without a ReLU: a score may be negative."
    assert_close(scores, np.array([[0.0, -0.5], [-3.0, 9.5]]), what="the scores", hint=hint)


# --- nn_forward_backward


def problem():
    """Parameters, five pictures and their classes; no hidden unit is near its kink."""
    rng = np.random.default_rng(5)
    params = {
        "W1": 0.6 * rng.normal(size=(4, 3)),
        "b1": np.array([0.3, -0.2, 0.1]),
        "W2": 0.8 * rng.normal(size=(3, 3)),
        "b2": np.array([0.4, -0.1, 0.2]),
    }
    return params, rng.normal(size=(5, 4)), np.array([2, 0, 1, 1, 2])


def loss_and_grads(result):
    """The two results with labels; fails when there are not two, or grads is not a dict of the parameters."""
    loss, grads = several(result, 2, "with labels two things: the loss, and a dict of gradients")
    if not isinstance(grads, dict) or set(grads) != set(KEYS):
        fail("grads should be a dict with the keys W1, b1, W2 and b2.", value=result)
    return loss, grads


@pytest.mark.question("nn_forward_backward", given=FORWARD)
def test_scores_without_labels(student):
    """Without labels the scores come back."""
    scores = np.array([[0.0, -0.5], [-3.0, 9.5]])
    hint = "Where y is None, return the scores alone."
    assert_close(student.nn_forward_backward(PARAMS, X), scores, what="the result", hint=hint)


@pytest.mark.question("nn_forward_backward", given=FORWARD)
def test_loss_by_hand(student):
    """Equal scores cost log C, and the penalty is reg times the sum of the squares of both W."""
    # No hidden unit speaks, so that the scores are b2: three equal ones.
    params = {
        "W1": np.array([[1.0, -2.0]]),
        "b1": np.array([-9.0, -9.0]),
        "W2": np.array([[1.0, 0.0, 3.0], [0.0, -1.0, 0.0]]),
        "b2": np.array([7.0, 7.0, 7.0]),
    }
    X, y = np.array([[1.0], [2.0]]), np.array([2, 0])
    loss, _ = loss_and_grads(student.nn_forward_backward(params, X, y))
    hint = "Each class has the probability 1/3, so each picture costs log 3; take the mean."
    assert_close(loss, float(np.log(3)), what="the loss", hint=hint)
    loss, _ = loss_and_grads(student.nn_forward_backward(params, X, y, reg=0.5))
    hint = "reg * (sum(W1**2) + sum(W2**2)) is 0.5 * (5 + 11) = 8; biases have no penalty."
    assert_close(loss, float(np.log(3) + 8), what="the loss with reg = 0.5", hint=hint)


@pytest.mark.question("nn_forward_backward", given=FORWARD)
@pytest.mark.parametrize("reg", [0.0, 0.7])
def test_gradients_match_differences(student, reg):
    """Each gradient is the difference quotient of your own loss, with and without a penalty."""
    params, X, y = problem()

    def loss(**at):
        return loss_and_grads(student.nn_forward_backward(at, X, y, reg))[0]

    _, grads = loss_and_grads(student.nn_forward_backward(params, X, y, reg))
    hint = "Follow the table from dS down. The penalty adds 2 * reg * W, and nothing to the biases."
    assert_gradients(grads, loss, params, np.ones(()), hint=hint)


@pytest.mark.question("nn_forward_backward", given=FORWARD)
def test_large_scores(student):
    """Scores of 1000 and more do not overflow."""
    params, X, y = problem()
    loss, grads = loss_and_grads(student.nn_forward_backward(params, X, y))
    shifted = {**params, "b2": params["b2"] + 1000}
    large, large_grads = loss_and_grads(student.nn_forward_backward(shifted, X, y))
    hint = "Subtract each picture's largest score from its scores before exp."
    assert_close(large, loss, what="the loss with 1000 added to all scores", hint=hint)
    assert_close(large_grads, grads, what="grads with 1000 added to all scores", hint=hint)


# --- nn_predict


@pytest.mark.question("nn_predict", given=[*FORWARD, "nn_forward_backward"])
def test_answers_by_hand(student):
    """The class with the highest score is the answer, the smaller one where two are equal."""
    hint = "The scores are (0, -0.5) and (-3, 9.5)."
    assert_labels(student.nn_predict(PARAMS, X), [0, 1], hint=hint)
    equal = {**PARAMS, "W2": np.zeros((3, 2)), "b2": np.array([3.0, 3.0])}
    assert_labels(student.nn_predict(equal, X), [0, 0], what="the class numbers for equal scores")


# --- nn_train

HISTORY = {"loss", "train_acc", "val_acc"}


def params_and_history(result):
    """The two results of the training; fails when they are something else."""
    params, history = several(result, 2, "two things: the parameters, and the history")
    if not isinstance(params, dict) or not isinstance(history, dict) or set(history) != HISTORY:
        fail("The history should be a dict with the keys loss, train_acc and val_acc.", value=result)
    lists = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in history.items()}
    return params, lists


@pytest.mark.question("nn_train", given=TRAINING)
def test_two_steps(student):
    """Two steps move every parameter against its gradient, each time from a batch of its own."""
    params, X, y = problem()
    expected, losses = params, []
    for t in (0, 1):
        X_batch, y_batch = student.sample_batch(X, y, 4, (3, t))
        loss, grads = loss_and_grads(student.nn_forward_backward(expected, X_batch, y_batch, 0.1))
        # One epoch is one step here, 5 // 4, so that the second step is half as long.
        expected = {name: expected[name] - 0.2 * 0.5**t * grads[name] for name in KEYS}
        losses.append(loss)
    result = assert_unchanged(student.nn_train, params, X, y, X, y, 0.2, 0.5, 0.1, 2, 4, 3)
    trained, history = params_and_history(result)
    hint = (
        "The loss and the gradients at the parameters as they are, then the step; (seed, t) for each batch."
    )
    assert_close(history["loss"], losses, what='history["loss"]', hint=hint)
    hint = "Every parameter moves by -learning_rate * its gradient; the rate decays after each epoch."
    assert_close(trained, expected, what="the parameters", hint=hint)


@pytest.mark.question("nn_train", given=TRAINING)
def test_diary(student):
    """After each whole epoch, and only then, both accuracies are noted."""
    params, X, y = problem()
    X, y = np.concatenate([X, -X]), np.concatenate([y, y])
    # 10 // 3 steps are an epoch: 8 steps are two whole ones.
    result = student.nn_train(params, X, y, X[:4], y[:4], 0.3, 0.9, 0.0, 8, 3, 0)
    _, history = params_and_history(result)
    counts = {name: len(values) for name, values in history.items()}
    hint = "One loss for each step; accuracies when t + 1 is a multiple of N // batch_size."
    assert_close(counts, {"loss": 8, "train_acc": 2, "val_acc": 2}, what="the lengths", hint=hint)
    after_two, _ = params_and_history(student.nn_train(params, X, y, X[:4], y[:4], 0.3, 0.9, 0.0, 6, 3, 0))
    answers = np.asarray(student.nn_predict(after_two, X))
    hint = "The share of right answers on all of X, and on all of X_val, after the step."
    assert_close(history["train_acc"][-1], float(np.mean(answers == y)), what="the last train_acc", hint=hint)
    share = float(np.mean(answers[:4] == y[:4]))
    assert_close(history["val_acc"][-1], share, what="the last val_acc", hint=hint)


# --- weight_pictures


@pytest.mark.question("weight_pictures")
def test_pictures_by_hand(student):
    """Two templates of 1 x 3 pixels, worked by hand."""
    W1 = np.array([[1.0, 10.0], [-4.0, 0.0], [2.0, 5.0]])
    expected = np.array([[[0.25, -1.0, 0.5]], [[1.0, 0.0, 0.5]]])
    hint = "Unit h has column h of W1; divide by the largest absolute value of that column."
    pictures = assert_unchanged(student.weight_pictures, W1, (1, 3))
    assert_close(pictures, expected, what="the pictures", hint=hint)


# --- nn_search


@pytest.mark.question("nn_search", given=SEARCH)
def test_search_of_three(student):
    """Of three settings, the first one with the highest validation accuracy is chosen."""
    rng = np.random.default_rng(2)
    y = np.arange(40) % 3
    X = 0.2 * rng.normal(size=(40, 2)) + np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])[y]
    slow, good, same = (
        {"hidden_dim": hidden_dim, "learning_rate": rate, "reg": 0.0}
        for hidden_dim, rate in ((5, 1e-9), (8, 0.5), (9, 0.5))
    )
    result = student.nn_search([slow, good, same], X[:30], y[:30], X[30:], y[30:], 3, 60, 10, 1)
    best, best_params, accuracies = several(result, 3, "best, best_params and accuracies")
    assert_close(best, good, what="best", hint="Settings 1 and 2 are both perfect: the first one wins.")
    hint = "The parameters that the best run ended with, 8 hidden units."
    if not isinstance(best_params, dict):
        fail("best_params should be the parameters that the best run ended with.", value=result)
    shape = list(np.shape(best_params.get("W1")))
    assert_close(shape, [2, 8], what="the shape of W1 in best_params", hint=hint)
    pairs = accuracies.tolist() if isinstance(accuracies, np.ndarray) else accuracies
    if not isinstance(pairs, (list, tuple)) or len(pairs) != 3:
        fail("accuracies should be a list with a pair for each setting.", value=result)
    hint = "For each setting (training accuracy, validation accuracy), from 0 to 1."
    assert_close(pairs[1:], [[1.0, 1.0], [1.0, 1.0]], what="the last two accuracies", hint=hint)
