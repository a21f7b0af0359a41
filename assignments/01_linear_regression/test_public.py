"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_gradients, assert_learns, assert_unchanged, fail

# `given`: at grading, a question that builds on others is tested with right ones, so that an error is not
# paid
# for twice.

# Three examples with two features.
X = np.array([[1.0, 0.0], [2.0, 1.0], [-1.0, 3.0]])
W = np.array([2.0, -1.0])
Y = np.array([3.0, 1.0, 0.0])


@pytest.mark.question("predict")
def test_three_examples_by_hand(student):
    """Three examples with two features, worked by hand."""
    # 2*1 - 1*0 + 0.5,  2*2 - 1*1 + 0.5,  2*(-1) - 1*3 + 0.5
    assert_close(
        student.predict(X, W, 0.5),
        np.array([2.5, 3.5, -4.5]),
        what="the predictions",
        hint="One number for each example: the products of its features with the weights, added up, plus "
        "the bias.",
    )


@pytest.mark.question("predict")
def test_a_single_feature(student):
    """With one feature the predictions lie on a straight line, and still have shape (N,)."""
    celsius = np.array([[-40.0], [0.0], [100.0]])
    assert_close(
        student.predict(celsius, np.array([1.8]), 32.0),
        np.array([-40.0, 32.0, 212.0]),
        what="the predictions",
        hint="x has shape (N, 1) and w shape (1,); their product has shape (N,).",
    )


@pytest.mark.question("mse_loss")
def test_loss_by_hand(student):
    """Four predictions, worked by hand."""
    # differences 1, -2, 0, 3: squares 1, 4, 0, 9, mean 14 / 4
    y_pred, y = np.array([2.0, 1.0, 5.0, 7.0]), np.array([1.0, 3.0, 5.0, 4.0])
    assert_close(
        student.mse_loss(y_pred, y),
        3.5,
        what="the loss",
        hint="The mean of the squared differences, without 1/2.",
    )


@pytest.mark.question("mse_loss")
def test_loss_of_perfect_predictions_is_zero(student):
    """Perfect predictions have loss 0."""
    assert_close(student.mse_loss(Y, Y), 0.0, what="the loss")


@pytest.mark.question("mse_gradients", given=["predict", "mse_loss"])
def test_gradients_by_hand(student):
    """One example with one feature, worked by hand."""
    # prediction 2*3 + 1 = 7, error 7 - 4 = 3:  dw = 2 * 3 * 3,  db = 2 * 3
    dw, db = student.mse_gradients(np.array([[3.0]]), np.array([4.0]), np.array([2.0]), 1.0)
    assert_close(
        dw, np.array([18.0]), what="dw", hint="Twice the error times the feature; the shape is that of w."
    )
    assert_close(db, 6.0, what="db", hint="Twice the error: a number.")


@pytest.mark.question("mse_gradients", given=["predict", "mse_loss"])
def test_gradients_match_finite_differences(student):
    """The gradients agree with finite differences of your own loss."""
    dw, db = student.mse_gradients(X, Y, W, 0.5)

    def loss(w, b):
        return student.mse_loss(student.predict(X, w, b), Y)

    assert_gradients(
        {"w": dw, "b": db},
        of=loss,
        at={"w": W, "b": np.float64(0.5)},
        hint="Compare with the two formulas of 1.3: the factor 2 / N, and which way the error is subtracted.",
    )


@pytest.mark.question("train", given=["predict", "mse_loss", "mse_gradients"])
def test_one_step_by_hand(student):
    """One step from zero, worked by hand."""
    # Predictions are 0, so the errors are -2 and -4: loss (4 + 16) / 2 = 10,
    # dw = 2/2 * (-2*1 - 4*3) = -14, db = 2/2 * (-2 - 4) = -6; a step of 0.1 against both.
    w, b, losses = student.train(np.array([[1.0], [3.0]]), np.array([2.0, 4.0]), 0.1, 1)
    assert_close(w, np.array([1.4]), what="w", hint="Step against the gradient, from a start at zero.")
    assert_close(b, 0.6, what="b", hint="The bias takes a step, too.")
    assert_close(
        np.asarray(losses), np.array([10.0]), what="losses", hint="The loss before the step, that of zeros."
    )


@pytest.mark.question("train", given=["predict", "mse_loss", "mse_gradients"])
def test_descent_finds_a_line(student):
    """Points on the line y = 3x - 1 give that line back."""
    x = np.array([[-1.0], [0.0], [1.0], [2.0]])
    w, b, losses = student.train(x, 3.0 * x[:, 0] - 1.0, 0.2, 200)
    assert_learns(losses, by_factor=1e6, what="the loss")
    assert_close(w, np.array([3.0]), rtol=1e-4, what="w")
    assert_close(b, -1.0, rtol=1e-4, what="b")


@pytest.mark.question("train_test_split")
def test_split_keeps_pairs_together(student):
    """Every example is in exactly one part, with its own target."""
    x = np.arange(14.0).reshape(7, 2)
    parts = assert_unchanged(student.train_test_split, x, x[:, 0] * 10, 0.4, 0)
    if not isinstance(parts, (list, tuple)) or len(parts) != 4:
        fail("train_test_split should return four arrays: x_train, x_test, y_train, y_test.")
    x_train, x_test, y_train, y_test = parts
    assert_close(np.asarray(x_test).shape, (3, 2), what="the shape of x_test", hint="0.4 of 7 is 2.8.")
    assert_close(np.asarray(x_train).shape, (4, 2), what="the shape of x_train")
    assert_close(
        y_train, x_train[:, 0] * 10, what="y_train", hint="Shuffle x and y with the same permutation."
    )
    assert_close(y_test, x_test[:, 0] * 10, what="y_test", hint="Shuffle x and y with the same permutation.")
    together = np.concatenate([x_train, x_test])
    assert_close(together[np.argsort(together[:, 0])], x, what="both parts together, sorted")


@pytest.mark.question("train_test_split")
def test_split_follows_the_seed(student):
    """The same seed gives the same split, another seed another one."""
    x = np.arange(100.0)[:, np.newaxis]
    first, again, other = (student.train_test_split(x, x[:, 0], 0.5, seed)[1] for seed in (1, 1, 2))
    assert_close(again, first, what="x_test of the second call with the same seed", hint="Is the seed used?")
    if np.array_equal(first, other):
        fail("Seed 1 and seed 2 give the same split.", hint="The permutation should depend on the seed.")


@pytest.mark.question("standardize")
def test_standardize_by_hand(student):
    """Three examples with two features, the second of them constant, worked by hand."""
    # First feature: mean 4, deviations -3, 0, 3, variance 18 / 3 = 6.  Second: mean 5, deviation 0, taken
    # as 1.
    x_train, x_test = np.array([[1.0, 5.0], [4.0, 5.0], [7.0, 5.0]]), np.array([[10.0, 8.0]])
    train_std, test_std, mean, std = assert_unchanged(student.standardize, x_train, x_test)
    root = np.sqrt(6.0)
    assert_close(mean, np.array([4.0, 5.0]), what="mean", hint="One mean for each feature (axis 0).")
    assert_close(
        std, np.array([root, 1.0]), what="std", hint="Divide by N; where the deviation is 0, take 1."
    )
    assert_close(train_std, np.array([[-3 / root, 0.0], [0.0, 0.0], [3 / root, 0.0]]), what="x_train_std")
    assert_close(
        test_std, np.array([[6 / root, 3.0]]), what="x_test_std", hint="Use the training part's mean and std."
    )


@pytest.mark.question("to_original_units")
def test_original_units_by_hand(student):
    """One feature, worked by hand."""
    # 6 * (x - 10) / 2 + 5  =  3 x - 25
    w, b = student.to_original_units(np.array([6.0]), 5.0, np.array([10.0]), np.array([2.0]))
    assert_close(w, np.array([3.0]), what="w")
    assert_close(b, -25.0, what="b", hint="Standardising shifts x; the bias has to make up for it.")


@pytest.mark.question("to_original_units")
def test_both_models_predict_the_same(student):
    """With two features, the model in original units predicts what the standardised one does."""
    mean, std, w_std, b_std = np.array([3.0, -1.0]), np.array([0.5, 4.0]), np.array([1.0, 2.0]), 7.0
    w, b = student.to_original_units(w_std, b_std, mean, std)
    assert_close(np.shape(w), (2,), what="the shape of w")
    assert_close(
        np.shape(b), (), what="the shape of b", hint="Sum over the features: the bias is one number."
    )
    assert_close(X @ np.asarray(w) + b, (X - mean) / std @ w_std + b_std, what="the predictions")
