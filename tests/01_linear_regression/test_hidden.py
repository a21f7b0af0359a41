"""The suite that grades 01_linear_regression."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_gradients, assert_learns, assert_unchanged, fail

SHAPES = [(12, 3), (7, 1), (1, 4), (3, 8)]  # several features, one, one example, more features than examples
PREDICT = ["predict"]
LOSS = ["predict", "mse_loss"]
GRADIENTS = ["predict", "mse_loss", "mse_gradients"]


def problem(rng, n, d):
    """Features, targets, weights and bias: columns of different size, nothing centred."""
    x = rng.normal(size=(n, d)) * np.linspace(0.5, 2.0, d) + rng.uniform(-1, 1, size=d)
    return x, rng.normal(size=n) * 3 + 1, rng.normal(size=d), float(rng.normal() + 2)


def as_curve(losses):
    """A list of losses, or an array of them, as an array of shape (epochs,)."""
    try:
        return np.asarray(losses, dtype=float)
    except (TypeError, ValueError):
        fail(
            "losses should be a list of numbers, one for each epoch.",
            got=str(type(losses).__name__),
            value=losses,
        )


def four(parts):
    """The four arrays of a split, or a failure that says what came instead."""
    if (
        not isinstance(parts, (list, tuple))
        or len(parts) != 4
        or not all(isinstance(p, np.ndarray) for p in parts)
    ):
        fail("train_test_split should return four arrays: x_train, x_test, y_train, y_test.", value=parts)
    return parts


# --- predict


@pytest.mark.question("predict", weight=2)
def test_predictions(student, reference, rng):
    """The predictions are x w + b, for one feature or several, one example or many."""
    hint = "Sum over the features, not over the examples; the result has shape (N,)."
    for n, d in SHAPES:
        x, _, w, b = problem(rng, n, d)
        expected = reference.predict(x, w, b)
        assert_close(student.predict(x, w, b), expected, what="the predictions", hint=hint)


@pytest.mark.question("predict")
def test_predictions_of_whole_numbers_and_float32(student, reference, rng):
    """Whole numbers and float32 features are predicted as well."""
    x = rng.integers(-50, 50, size=(6, 2))
    w, b = np.array([0.25, -1.5]), 3
    assert_close(student.predict(x, w, b), reference.predict(x, w, b), what="the predictions")
    x32, w32 = x.astype(np.float32), w.astype(np.float32)
    assert_close(
        student.predict(x32, w32, 3.0), reference.predict(x, w, b), rtol=1e-5, what="the predictions"
    )


@pytest.mark.question("predict")
def test_predict_leaves_its_inputs_alone(student, reference, rng):
    """predict does not change x or w."""
    x, _, w, b = problem(rng, 5, 3)
    predictions = assert_unchanged(student.predict, x, w, b)
    assert_close(predictions, reference.predict(x, w, b), what="the predictions")


# --- mse_loss


@pytest.mark.question("mse_loss", weight=2)
def test_loss(student, reference, rng):
    """The loss is the mean of the squared differences: one number."""
    hint = "Square each difference, then take the mean; no factor 1/2, no root."
    for n in (9, 50, 2, 1):
        y_pred, y = rng.normal(size=n) * 4, rng.normal(size=n) + 1
        expected = reference.mse_loss(y_pred, y)
        assert_close(student.mse_loss(y_pred, y), expected, what="the loss", hint=hint)


@pytest.mark.question("mse_loss")
def test_loss_does_not_depend_on_the_order_or_the_sign(student, rng):
    """Overshooting costs as much as undershooting, and errors of opposite sign do not cancel."""
    y = rng.normal(size=6)
    error = np.array([2.0, -2.0, 2.0, -2.0, 2.0, -2.0])
    assert_close(student.mse_loss(y + error, y), 4.0, what="the loss of errors +2 and -2")
    assert_close(student.mse_loss(y - error, y), 4.0, what="the loss of errors -2 and +2")


@pytest.mark.question("mse_loss")
def test_loss_leaves_its_inputs_alone(student, reference, rng):
    """mse_loss does not change the predictions or the targets."""
    y_pred, y = rng.normal(size=5), rng.normal(size=5)
    loss = assert_unchanged(student.mse_loss, y_pred, y)
    assert_close(loss, reference.mse_loss(y_pred, y), what="the loss")


# --- mse_gradients


@pytest.mark.question("mse_gradients", weight=3, given=LOSS)
def test_gradients_match_finite_differences(student, reference, rng):
    """Both gradients agree with finite differences of the loss, in every coordinate."""
    for n, d in SHAPES:
        x, y, w, b = problem(rng, n, d)
        dw, db = student.mse_gradients(x, y, w, b)

        def loss(w, b, x=x, y=y):
            return reference.mse_loss(reference.predict(x, w, b), y)

        hint = "Check the factor 2 / N, the sign of the error, and the sum over the examples."
        assert_gradients({"w": dw, "b": db}, of=loss, at={"w": w, "b": np.float64(b)}, hint=hint)


@pytest.mark.question("mse_gradients", given=LOSS)
def test_gradients_vanish_at_the_lowest_point(student, rng):
    """Both gradients are zero at the least-squares solution."""
    x, y, _, _ = problem(rng, 20, 3)
    *w, b = np.linalg.lstsq(np.column_stack([x, np.ones(20)]), y, rcond=None)[0]
    dw, db = student.mse_gradients(x, y, np.array(w), float(b))
    assert_close(dw, np.zeros(3), what="dw", hint="At the lowest point of the loss no direction leads down.")
    assert_close(db, 0.0, what="db", hint="At the lowest point of the loss no direction leads down.")


@pytest.mark.question("mse_gradients", given=LOSS)
def test_gradients_leave_their_inputs_alone(student, reference, rng):
    """mse_gradients does not change its arguments."""
    x, y, w, b = problem(rng, 5, 2)
    gradients = assert_unchanged(student.mse_gradients, x, y, w, b)
    assert_close(gradients, reference.mse_gradients(x, y, w, b), what="(dw, db)")


# --- train


@pytest.mark.question("train", weight=3, given=GRADIENTS)
def test_every_step_of_the_descent(student, reference, rng):
    """Weights, bias and losses are those of gradient descent from zero, step for step."""
    for n, d, epochs in ((8, 1, 1), (8, 1, 2), (15, 3, 12), (1, 2, 5)):
        x, y, _, _ = problem(rng, n, d)
        expected_w, expected_b, expected_losses = reference.train(x, y, 0.03, epochs)
        w, b, losses = student.train(x, y, 0.03, epochs)
        hint = "Start at zero and step against the gradient, `epochs` times."
        assert_close(w, expected_w, what="w", hint=hint)
        hint = "Both gradients belong to the point before the step."
        assert_close(b, expected_b, what="b", hint=hint)
        hint = "losses[e] is the loss before step e: compute it, then step."
        assert_close(as_curve(losses), np.array(expected_losses), what="losses", hint=hint)


@pytest.mark.question("train", given=GRADIENTS)
def test_no_epochs_at_all(student):
    """With 0 epochs the parameters are still zero and there are no losses."""
    w, b, losses = student.train(np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([1.0, 2.0]), 0.1, 0)
    assert_close(w, np.zeros(2), what="w")
    assert_close(b, 0.0, what="b")
    assert_close(len(losses), 0, what="the number of losses")


@pytest.mark.question("train", given=GRADIENTS)
def test_descent_reaches_the_least_squares_solution(student, rng):
    """After enough steps the result is the least-squares solution."""
    x = rng.normal(size=(60, 2))
    y = x @ np.array([1.5, -2.0]) + 4.0 + rng.normal(size=60) * 0.3
    *best_w, best_b = np.linalg.lstsq(np.column_stack([x, np.ones(60)]), y, rcond=None)[0]
    w, b, losses = student.train(x, y, 0.2, 120)
    assert_learns(losses, by_factor=20, what="the loss")
    assert_close(w, np.array(best_w), rtol=1e-3, atol=1e-4, what="w")
    assert_close(b, float(best_b), rtol=1e-3, atol=1e-4, what="b")


@pytest.mark.question("train", given=GRADIENTS)
def test_train_leaves_its_inputs_alone(student, rng):
    """train does not change the examples, and a second call starts at zero again."""
    x, y, _, _ = problem(rng, 6, 2)
    w, b, _ = assert_unchanged(student.train, x, y, 0.05, 4)
    w_again, b_again, _ = student.train(x, y, 0.05, 4)
    assert_close(w_again, w, what="w of the second call")
    assert_close(b_again, b, what="b of the second call")


# --- train_test_split


def numbered(n, d=2):
    """Examples that can be recognised: example i holds i, i + 1000, ..., and its target is -i."""
    return np.arange(float(n))[:, np.newaxis] + 1000.0 * np.arange(d), -np.arange(float(n))


def check_split(student, rng, n, fraction, num_test):
    """Sizes, completeness and pairs of one split."""
    x, y = numbered(n)
    seed = int(rng.integers(1000))
    x_train, x_test, y_train, y_test = four(student.train_test_split(x, y, fraction, seed))
    hint = "In this order: x_train, x_test, y_train, y_test; test_fraction is the share of the test part."
    assert_close(x_test.shape, (num_test, 2), what="the shape of x_test", hint=hint)
    assert_close(x_train.shape, (n - num_test, 2), what="the shape of x_train", hint=hint)
    hint = "Shuffle x and y with the same permutation."
    assert_close(y_train, -x_train[:, 0], what="y_train", hint=hint)
    assert_close(y_test, -x_test[:, 0], what="y_test", hint=hint)
    together = np.concatenate([x_train, x_test])
    together = together[np.argsort(together[:, 0])]
    assert_close(together, x, what="both parts together, sorted", hint="No example twice, none left out.")


@pytest.mark.question("train_test_split", weight=2)
def test_split_sizes_and_pairs(student, rng):
    """The parts have the right sizes, every example is in exactly one of them, and each keeps its target."""
    check_split(student, rng, 10, 0.2, 2)
    check_split(student, rng, 160, 0.25, 40)


@pytest.mark.question("train_test_split")
def test_split_rounds(student, rng):
    """Where the fraction does not give a whole number of examples, it is rounded to the nearest one."""
    check_split(student, rng, 7, 0.4, 3)  # 2.8
    check_split(student, rng, 11, 0.3, 3)  # 3.3


@pytest.mark.question("train_test_split")
def test_split_with_an_empty_part(student, rng):
    """A fraction of 0 gives an empty test part, a fraction of 1 an empty training part."""
    check_split(student, rng, 5, 0.0, 0)
    check_split(student, rng, 4, 1.0, 4)


@pytest.mark.question("train_test_split")
def test_split_is_a_shuffle(student, rng):
    """The test part is drawn from everywhere, not cut off one end, and both parts come in shuffled order."""
    x, y = numbered(200)
    x_train, x_test, _, _ = four(student.train_test_split(x, y, 0.5, int(rng.integers(1000))))
    for name, part in (("x_train", x_train), ("x_test", x_test)):
        share = np.mean(part[:, 0] < 100)  # mean 0.5, standard deviation 0.035: 0.25 is seven of them away
        if not 0.25 < share < 0.75:
            fail(
                f"{share:.0%} of {name} come from the first half of the examples.",
                expected="about 50%",
                got=f"{share:.0%}",
                hint="Shuffle before you cut.",
            )
        assert len(part) > 0
        if np.all(np.diff(part[:, 0]) > 0) or np.all(np.diff(part[:, 0]) < 0):
            fail(f"{name} is still in the original order.", hint="Shuffle before you cut.")


@pytest.mark.question("train_test_split")
def test_split_depends_on_the_seed_and_on_nothing_else(student, rng):
    """The same seed gives the same split whenever it is asked for, and different seeds different splits."""
    x, y = numbered(40)
    seed = int(rng.integers(1000))
    first = four(student.train_test_split(x, y, 0.5, seed))
    other = four(student.train_test_split(x, y, 0.5, seed + 1))
    again = four(student.train_test_split(x, y, 0.5, seed))
    for name, a, b in zip(("x_train", "x_test", "y_train", "y_test"), first, again, strict=True):
        assert_close(
            b, a, what=f"{name} of a second call with the same seed", hint="Seed the generator in the call."
        )
    if np.array_equal(np.sort(first[3]), np.sort(other[3])):
        fail("Two seeds give the same test part.", hint="Use the argument seed for the permutation.")


@pytest.mark.question("train_test_split")
def test_split_leaves_its_inputs_alone(student):
    """train_test_split does not shuffle the caller's arrays."""
    x, y = numbered(12)
    x_train, x_test, _, _ = four(assert_unchanged(student.train_test_split, x, y, 0.5, 3))
    assert_close(
        np.sort(np.concatenate([x_train, x_test])[:, 0]), x[:, 0], what="both parts together, sorted"
    )


# --- standardize


def check_standardized(student, reference, rng, n, m, d):
    """All four results, for features of very different scale."""
    scale, centre = np.geomspace(0.1, 50, d), np.linspace(-20, 30, d)
    x_train = rng.normal(size=(n, d)) * scale + centre
    x_test = rng.normal(size=(m, d)) * scale * 2 + centre + 3
    hint = "mean and std run over the training examples (axis 0), with N in the denominator."
    got = student.standardize(x_train, x_test)
    assert_close(len(got) if isinstance(got, (list, tuple)) else 0, 4, what="the number of results")
    names = ("x_train_std", "x_test_std", "mean", "std")
    for name, value, expected in zip(names, got, reference.standardize(x_train, x_test), strict=True):
        assert_close(value, expected, rtol=1e-6, what=name, hint=hint)


@pytest.mark.question("standardize", weight=2)
def test_standardized_features(student, reference, rng):
    """Both parts are shifted and scaled, feature by feature, by the training part's mean and deviation."""
    for n, m, d in ((9, 4, 1), (20, 7, 3), (6, 6, 6)):
        check_standardized(student, reference, rng, n, m, d)


@pytest.mark.question("standardize")
def test_few_examples(student, reference, rng):
    """Two training examples suffice, and a single one, too: its features are all constant."""
    check_standardized(student, reference, rng, 2, 1, 5)
    check_standardized(student, reference, rng, 1, 3, 2)


@pytest.mark.question("standardize")
def test_constant_feature(student):
    """A feature that is the same in every training example becomes 0, and its std is given as 1."""
    x_train = np.array([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0], [6.0, 5.0]])
    x_test = np.array([[4.0, 7.0]])
    train_std, test_std, mean, std = student.standardize(x_train, x_test)
    hint = "Where the standard deviation is 0, divide by 1."
    assert_close(
        np.asarray(train_std)[:, 1], np.zeros(4), what="the constant column of x_train_std", hint=hint
    )
    assert_close(np.asarray(test_std)[:, 1], np.array([2.0]), what="that column of x_test_std", hint=hint)
    assert_close(np.asarray(mean)[1], 5.0, what="the mean of the constant feature")
    assert_close(np.asarray(std)[1], 1.0, what="the std of the constant feature", hint=hint)
    assert_close(np.asarray(std)[0], np.sqrt(3.5), what="the std of the other feature")


@pytest.mark.question("standardize")
def test_whole_numbers(student, reference):
    """Whole-number features are standardised without being rounded."""
    x_train, x_test = np.array([[1, 10], [2, 40], [4, 20]]), np.array([[3, 30]])
    expected = reference.standardize(x_train, x_test)
    train_std, test_std, _, _ = student.standardize(x_train, x_test)
    assert_close(train_std, expected[0], rtol=1e-6, what="x_train_std")
    assert_close(test_std, expected[1], rtol=1e-6, what="x_test_std")


@pytest.mark.question("standardize")
def test_standardize_leaves_its_inputs_alone(student, reference, rng):
    """standardize does not change the caller's arrays."""
    x_train, x_test = rng.normal(size=(5, 2)) + 4, rng.normal(size=(3, 2))
    train_std, _, _, _ = assert_unchanged(student.standardize, x_train, x_test)
    assert_close(train_std, reference.standardize(x_train, x_test)[0], rtol=1e-6, what="x_train_std")


# --- to_original_units


@pytest.mark.question("to_original_units", weight=2)
def test_both_models_predict_the_same(student, rng):
    """The model in original units predicts what the model on standardised features predicts."""
    for d in (1, 2, 5):
        mean, std = rng.normal(size=d) * 20, rng.uniform(0.2, 8, size=d)
        w_std, b_std = rng.normal(size=d) * 5, float(rng.normal() * 10)
        w, b = student.to_original_units(w_std, b_std, mean, std)
        assert_close(w, w_std / std, what="w", hint="A slope per deviation, divided by the size of one.")
        expected = b_std - float(np.sum(w_std * mean / std))
        assert_close(b, expected, what="b", hint="Every feature shifts the bias.")
        x = rng.normal(size=(6, d)) * std + mean
        assert_close(x @ w + b, (x - mean) / std @ w_std + b_std, what="the predictions")


@pytest.mark.question("to_original_units")
def test_nothing_to_translate(student):
    """With mean 0 and deviation 1 the parameters stay as they are."""
    w, b = student.to_original_units(np.array([2.0, -3.0]), 4.0, np.zeros(2), np.ones(2))
    assert_close(w, np.array([2.0, -3.0]), what="w")
    assert_close(b, 4.0, what="b")


@pytest.mark.question("to_original_units")
def test_to_original_units_leaves_its_inputs_alone(student, rng):
    """to_original_units does not change its arguments."""
    w_std, mean, std = rng.normal(size=3), rng.normal(size=3), np.full(3, 2.0)
    w, _ = assert_unchanged(student.to_original_units, w_std, 1.0, mean, std)
    assert_close(w, w_std / 2, what="w")


@pytest.mark.question("to_original_units")
def test_the_law_of_the_thermometers(student, reference, data):
    """On the 160 readings, the slope and the intercept come out within 1 % of 1.8 and 32."""
    readings = data("celsius_fahrenheit")
    x_std, _, mean, std = reference.standardize(readings.x_train, readings.x_test)
    w_std, b_std, _ = reference.train(x_std, readings.y_train, 0.1, 100)
    w, b = student.to_original_units(w_std, b_std, mean, std)
    assert_close(w, np.array([1.8]), rtol=0.01, what="the slope")
    assert_close(b, 32.0, rtol=0.01, what="the intercept")
