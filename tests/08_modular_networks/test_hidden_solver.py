"""The Solver, on the linear classifier that the notebook brings along.

Which examples make up a batch is the student's random choice. So the whole way of training is compared on
training sets whose examples are all the same, where it cannot matter; and how batches are drawn is read off
the losses at a learning rate of 0, where each loss tells of its batch.
"""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from autograder.checking import assert_accuracy, assert_close, disguise, fail

# An error in an update rule or a layer is paid for in its own question.
GIVEN = ["affine_forward", "affine_backward", "softmax_loss", "sgd", "sgd_momentum", "rmsprop", "adam"]
D, K = 3, 4

RULES = {
    "sgd": {"learning_rate": 0.4},
    "sgd_momentum": {"learning_rate": 0.2, "momentum": 0.7},
    "rmsprop": {"learning_rate": 0.1, "decay_rate": 0.9},
    "adam": {"learning_rate": 0.2, "beta1": 0.8},
}


def draw_params(rng):
    """Random parameters of the linear classifier."""
    return {"W1": rng.normal(size=(D, K)), "b1": rng.normal(size=K)}


def copied(arrays):
    """Arrays that nobody else holds."""
    return {name: array.copy() for name, array in arrays.items()}


def predict(params, X):
    """The class with the highest score."""
    return np.argmax(X @ params["W1"] + params["b1"], axis=1)


def after_epochs(reference, data, params, num_epochs, options):
    """The parameters before training and after each epoch of the reference."""
    model = reference.LinearClassifier(D, K)
    model.params = copied(params)
    solver = reference.Solver(model, copied(data), num_epochs=num_epochs, **options)
    recorded = {0: copied(params)}

    def record(*_, **__):
        recorded[len(solver.val_acc_history) + 1] = copied(model.params)
        return 0.0

    solver.check_accuracy = record  # it is called at the end of each epoch
    solver.train()
    return [recorded[epoch] for epoch in sorted(recorded)]


def same_examples(reference, rng, params, *, N=6, best, num_epochs, **options):
    """N equal training examples, and validation examples that are all right after epoch `best` and only then.

    So there is no doubt which parameters are the best ones.
    """
    X = np.tile(rng.normal(size=D), (N, 1))
    # The class that is farthest off: much to learn. Of those that are the answer to something, for else only
    # the others' answers could tell the epochs apart, and adam moves all of these classes alike.
    answers = np.unique(predict(params, rng.normal(scale=2, size=(1000, D))))
    y = np.full(N, answers[np.argmin((X[0] @ params["W1"] + params["b1"])[answers])])
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    states = after_epochs(reference, data, params, num_epochs, options)
    for size in (1000, 10_000, 100_000):  # a late epoch may change the answer to one example in thousands
        data["X_val"] = rng.normal(scale=2, size=(size, D))
        data["y_val"] = predict(states[best], data["X_val"])
        others = [predict(state, data["X_val"]) for epoch, state in enumerate(states) if epoch != best]
        if not any(np.array_equal(other, data["y_val"]) for other in others):
            return data
    raise RuntimeError("no validation set tells the epochs apart")


def trained(namespace, data, params, **options):
    """A model with the given parameters, and the Solver that has trained it."""
    model = namespace.LinearClassifier(D, K)
    model.params = copied(params)
    solver = namespace.Solver(model, copied(data), **options)
    solver.train()
    return model, solver


def history(values, what):
    """A history as an array: a list of numbers, or an array."""
    if isinstance(values, list | tuple) and all(isinstance(v, float | int | np.generic) for v in values):
        values = np.array(values, dtype=float)
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        fail(f"{what} should be a list of numbers.", value=values)
    return values


def epochs_of(values, num_epochs, what):
    """The entries of the epochs. One more, for the time before them, is accepted."""
    values = history(values, what)
    if len(values) not in (num_epochs, num_epochs + 1):
        fail(
            f"{what} has {len(values)} entries after {num_epochs} epochs.",
            expected=f"{num_epochs}, one after each epoch",
            got=str(len(values)),
        )
    return values[-num_epochs:]


def check_run(student, reference, data, params, hint="", **options):
    """The student's Solver goes the way of the reference's: losses and final parameters."""
    model, solver = trained(student, data, params, **options)
    expected_model, expected = trained(reference, data, params, **options)
    losses = history(solver.loss_history, "loss_history")
    assert_close(losses, np.array(expected.loss_history), what="loss_history", hint=hint)
    assert_close(dict(model.params), expected_model.params, what="the parameters of the model", hint=hint)


@pytest.mark.question("solver", given=GIVEN)
@pytest.mark.parametrize("rule", RULES)
def test_solver_steps(student, reference, rng, rule):
    """Each step updates every parameter by the chosen rule, with its settings and its own memory."""
    options = {"update_rule": rule, "optim_config": RULES[rule], "batch_size": 2, "num_epochs": 3}
    params = draw_params(rng)
    data = same_examples(reference, rng, params, best=3, **options)
    hint = "Each parameter has a config of its own, which each call of the rule takes and returns."
    check_run(student, reference, data, params, hint, **options)


@pytest.mark.question("solver", given=GIVEN)
def test_solver_default_settings(student, reference, rng):
    """Without optim_config the rule has its own settings; without a rule it is sgd."""
    for rule in ({}, {"update_rule": "adam"}):
        options = {**rule, "batch_size": 1, "num_epochs": 2}
        params = draw_params(rng)
        data = same_examples(reference, rng, params, N=20, best=2, **options)
        check_run(student, reference, data, params, **options)


@pytest.mark.question("solver", given=GIVEN)
def test_solver_learning_rate_decay(student, reference, rng):
    """The learning rate is multiplied by lr_decay after each epoch, not after each step."""
    hint = 'Multiply config["learning_rate"] of every parameter once, at the end of each epoch.'
    for rule in ("sgd", "adam"):
        options = {"update_rule": rule, "optim_config": RULES[rule], "batch_size": 2, "num_epochs": 4}
        options["lr_decay"] = 0.6
        params = draw_params(rng)
        data = same_examples(reference, rng, params, best=4, **options)
        check_run(student, reference, data, params, hint, **options)


@pytest.mark.question("solver", given=GIVEN)
def test_solver_number_of_steps(student, reference, rng):
    """An epoch has N // batch_size steps, and at least one; each records its loss."""
    for N, batch_size, steps in ((6, 2, 3), (7, 3, 2), (5, 5, 1), (4, 100, 1)):
        options = {"optim_config": {"learning_rate": 0.3}, "batch_size": batch_size, "num_epochs": 3}
        params = draw_params(rng)
        data = same_examples(reference, rng, params, N=N, best=3, **options)
        losses = history(trained(student, data, params, **options)[1].loss_history, "loss_history")
        what = f"the number of losses of 3 epochs of {N} examples in batches of {batch_size}"
        assert_close(len(losses), 3 * steps, what=what)
        expected = trained(reference, data, params, **options)[1].loss_history
        assert_close(losses, np.array(expected), what="loss_history")


@pytest.mark.question("solver", weight=4, given=GIVEN)
def test_solver_best_parameters(student, reference, rng):
    """At the end the model has the parameters of the epoch with the highest validation accuracy."""
    options = {"optim_config": RULES["sgd"], "batch_size": 2}
    hint = "Copy the arrays when the validation accuracy is the highest so far, and put them back at the end."
    for best in (1, 3, 5):
        params = draw_params(rng)
        data = same_examples(reference, rng, params, best=best, num_epochs=5, **options)
        model, solver = trained(student, data, params, num_epochs=5, **options)
        expected = after_epochs(reference, data, params, 5, options)[best]
        where = f", where epoch {best} of 5 is the best"
        assert_close(solver.best_val_acc, 1.0, what=f"best_val_acc{where}", hint=hint)
        assert_close(dict(solver.best_params), expected, what=f"best_params{where}", hint=hint)
        assert_close(dict(model.params), expected, what=f"the parameters of the model{where}", hint=hint)


@pytest.mark.question("solver", given=GIVEN)
def test_solver_validation_history(student, reference, rng):
    """The accuracy on the whole validation set is recorded after each epoch."""
    options = {"optim_config": RULES["sgd"], "batch_size": 2, "num_epochs": 4}
    params = draw_params(rng)
    data = same_examples(reference, rng, params, best=2, **options)
    _, solver = trained(student, data, params, **options)
    expected = trained(reference, data, params, **options)[1].val_acc_history
    got = epochs_of(solver.val_acc_history, 4, "val_acc_history")
    assert_close(
        got, np.array(expected), what="val_acc_history", hint="Measure after the last step of an epoch."
    )


# --- batches: examples whose losses differ, and a learning rate of 0
def telling_examples(rng, N):
    """Data, parameters, and the loss of each training example."""
    X, y, params = rng.normal(size=(N, D)), rng.integers(K, size=N), draw_params(rng)
    scores = X @ params["W1"] + params["b1"]
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(N), y]
    return {"X_train": X, "y_train": y, "X_val": X[:5], "y_val": y[:5]}, params, losses


def batches_of(student, data, params, losses, batch_size, num_epochs):
    """The examples in each of the batches of all epochs, found by their mean loss."""
    options = {"optim_config": {"learning_rate": 0.0}, "batch_size": batch_size, "num_epochs": num_epochs}
    seen = history(trained(student, data, params, **options)[1].loss_history, "loss_history")
    possible = list(combinations_with_replacement(range(len(losses)), batch_size))
    means = np.array([losses[list(batch)].mean() for batch in possible])
    batches = []
    for loss in seen:
        nearest = int(np.argmin(np.abs(means - loss)))
        if not abs(means[nearest] - loss) < 1e-9:
            fail(
                f"A loss of {loss:.6g} is not that of any {batch_size} of the {len(losses)} examples.",
                expected=f"the mean loss of {batch_size} examples",
                got=f"{loss:.8g}",
                hint="Take the same indices of X_train and y_train, batch_size of them.",
            )
        batches.append(possible[nearest])
    return batches


@pytest.mark.question("solver", weight=4, given=GIVEN)
def test_solver_batches(student, rng):
    """A batch holds batch_size examples with their own labels, and every example is used."""
    for N, batch_size in ((4, 1), (8, 3)):
        data, params, losses = telling_examples(rng, N)
        batches = batches_of(student, data, params, losses, batch_size, 20)
        what = f"the number of steps in 20 epochs of {N} examples in batches of {batch_size}"
        assert_close(len(batches), 20 * (N // batch_size), what=what)
        # Drawn with repetition, one of the eight stays unseen in 120 draws once in a million times.
        unseen = set(range(N)) - {i for batch in batches for i in batch}
        if unseen:
            hint = "Shuffle before batches are cut."
            fail(f"{len(unseen)} of {N} examples are not used in 20 epochs.", hint=hint)


@pytest.mark.question("solver", given=GIVEN)
def test_solver_shuffles(student, rng):
    """Each epoch takes the examples in another order."""
    data, params, losses = telling_examples(rng, 8)
    batches = batches_of(student, data, params, losses, 1, 8)
    assert_close(len(batches), 64, what="the number of steps in 8 epochs of 8 examples")
    epochs = [tuple(batches[start : start + 8]) for start in range(0, 64, 8)]
    # Two of eight random orders are the same once in 1,400 times, and five never.
    if len(set(epochs)) < 4:
        fail("The epochs take the examples in the same order.", hint="Shuffle anew in each epoch.")


# --- accuracy
def known_accuracy(rng, N):
    """Examples, parameters, and labels of which exactly the first quarter is right."""
    params = draw_params(rng)
    X = rng.normal(size=(N, D))
    y = predict(params, X)
    y[N // 4 :] = (y[N // 4 :] + rng.integers(1, K, size=N - N // 4)) % K
    return X, y, params


def solver_for(student, X, y, params, **options):
    """A Solver that has not trained."""
    model = student.LinearClassifier(D, K)
    model.params = params
    return student.Solver(model, {"X_train": X, "y_train": y, "X_val": X, "y_val": y}, **options)


@pytest.mark.question("solver", weight=2, given=GIVEN)
def test_solver_check_accuracy(student, rng):
    """check_accuracy is the share of right answers among all examples, also where a last batch is smaller."""
    hint = "The last batch may hold fewer examples, and they count as much as the others."
    for N, batch_size in ((8, 100), (12, 4), (13, 5), (101, 100), (7, 1)):
        X, y, params = known_accuracy(rng, N)
        accuracy = solver_for(student, X, y, params).check_accuracy(X, y, batch_size=batch_size)
        what = f"the accuracy on {N} examples in batches of {batch_size}"
        assert_close(accuracy, (N // 4) / N, what=what, hint=hint)


@pytest.mark.question("solver", given=GIVEN)
def test_solver_check_accuracy_on_a_sample(student, rng):
    """With num_samples the accuracy is measured on so many examples, drawn at random."""
    X, y, params = known_accuracy(rng, 800)
    solver = solver_for(student, X, y, params)
    accuracy = solver.check_accuracy(X, y, num_samples=100)
    hint = "Draw num_samples indices without repetition, and take X and y there."
    assert_close(100 * accuracy, round(100 * accuracy), atol=1e-6, what="the right ones of 100", hint=hint)
    # A quarter is right: of 100 drawn at random more than half with a probability below 1e-7.
    if not 0.02 <= accuracy <= 0.5:
        fail(
            f"On 100 of 800 examples, a quarter of them right, the accuracy is {accuracy:.0%}.",
            expected="about 25%",
            got=f"{accuracy:.0%}",
            hint="The first examples are no fair sample.",
        )
    # All but one: without repetition, the right ones are all of them or all but one.
    for _ in range(3):
        right = 799 * solver.check_accuracy(X, y, num_samples=799)
        if not (abs(right - 200) < 1e-6 or abs(right - 199) < 1e-6):
            fail(
                f"Of 799 of the 800 examples, {right:.0f} are right.",
                expected="200, or 199 where the one left out is a right one",
                got=f"{right:.6g}",
                hint="Draw without repetition: each example at most once.",
            )
    few = solver.check_accuracy(X[:20], y[:20], num_samples=100)
    assert_close(few, 1.0, what="the accuracy on 20 right examples, with num_samples = 100")


@pytest.mark.question("solver", given=GIVEN)
def test_solver_train_history(student, rng):
    """The training accuracy is recorded after each epoch, on num_train_samples examples at most."""
    X, y, params = known_accuracy(rng, 64)
    data = {"X_train": X, "y_train": y, "X_val": X[:4], "y_val": y[:4]}
    options = {"optim_config": {"learning_rate": 0.0}, "batch_size": 16, "num_epochs": 3}
    _, solver = trained(student, data, params, **options)
    got = epochs_of(solver.train_acc_history, 3, "train_acc_history")
    assert_close(got, np.full(3, 0.25), what="train_acc_history, with a quarter of the labels right")
    _, solver = trained(student, data, params, **options, num_train_samples=10)
    got = epochs_of(solver.train_acc_history, 3, "train_acc_history")
    hint = "check_accuracy on the training set, with num_samples = num_train_samples."
    assert_close(
        10 * got, np.round(10 * got), atol=1e-6, what="right ones of num_train_samples = 10", hint=hint
    )
    assert_close(epochs_of(solver.val_acc_history, 3, "val_acc_history"), np.ones(3), what="val_acc_history")


@pytest.mark.question("solver", given=GIVEN)
def test_solver_keeps_apart(student, reference, rng):
    """Two Solvers do not disturb each other, and a second one begins anew."""
    options = {"update_rule": "adam", "optim_config": RULES["adam"], "batch_size": 3, "num_epochs": 2}
    params = draw_params(rng)
    data = same_examples(reference, rng, params, best=2, **options)
    first = trained(student, data, params, **options)
    second = trained(student, data, params, **options)
    expected = trained(reference, data, params, **options)[1].loss_history
    for what, (_, solver) in (("first", first), ("second", second)):
        losses = history(solver.loss_history, "loss_history")
        hint = "Histories and configs belong to the object, and begin empty."
        assert_close(losses, np.array(expected), what=f"loss_history of the {what} Solver", hint=hint)


@pytest.mark.question("solver", weight=2, given=GIVEN)
def test_solver_learns_digits(student, rng, data):
    """A linear classifier is trained with Adam to recognise most of the digits that it has not seen."""
    digits = data("digits")
    some = rng.permutation(len(digits.x_train))[:500]
    X, y, classes = disguise(digits.x_train[some], digits.y_train[some], rng, noise=0.1)
    X_test, y_test, _ = disguise(digits.x_test, digits.y_test, rng, noise=0.1, permutation=classes)
    mean = X.mean(axis=0)
    X, X_test = (X - mean).reshape(500, -1), (X_test - mean).reshape(len(y_test), -1)
    parts = {"X_train": X[:400], "y_train": y[:400], "X_val": X[400:], "y_val": y[400:]}
    model = student.LinearClassifier(64, 10)
    options = {
        "update_rule": "adam",
        "optim_config": {"learning_rate": 0.02},
        "batch_size": 40,
        "num_epochs": 6,
    }
    student.Solver(model, parts, **options).train()
    assert_accuracy(np.argmax(model.loss(X_test), axis=1), y_test, 0.8, what="accuracy on unseen digits")
