"""The four losses: naive and vectorized versions keep one contract, so one set of tests serves all."""

import pytest

from autograder.checking import LinearLossContract, assert_close, draw_linear_problem

HINTS = {
    "svm": {
        "loss": "Sum max(0, s_j - s_y + 1) over the wrong classes j, then take the mean over the pictures.",
        "dW": "For each margin that is missed: x / N is added to column j and subtracted from column y_i.",
    },
    "softmax": {
        "loss": "The mean over the pictures of -log of the probability of the right class.",
        "dW": "Probabilities minus 1 at the right class; X.T times that, divided by N.",
    },
}
NAMES = ["svm_loss_naive", "svm_loss_vectorized", "softmax_loss_naive", "softmax_loss_vectorized"]


def contract_of(name):
    """The contract of one of the four; the reference's vectorized version proves both."""
    loss = name.partition("_")[0]
    return LinearLossContract(name, reference=f"{loss}_loss_vectorized", hints=HINTS[loss])


def each(names=NAMES, weight=1):
    """Run a test once for each of the functions, as a test of that question."""
    marks = [pytest.param(name, marks=pytest.mark.question(name, weight=weight)) for name in names]
    return pytest.mark.parametrize("name", marks)


@each(weight=2)
def test_loss(student, reference, rng, name):
    """Without a penalty the loss is right, for two classes, for ten, and for other numbers of them."""
    contract_of(name).check_loss(student, reference, rng)


@each(weight=3)
def test_gradient(student, reference, rng, name):
    """Without a penalty dW is right in every entry, for several numbers of pictures, features and classes."""
    contract_of(name).check_gradient(student, reference, rng)


@each()
def test_penalty_in_the_loss(student, reference, rng, name):
    """The penalty is part of the loss: reg * sum(W ** 2), over all of W."""
    contract_of(name).check_penalty_in_loss(student, reference, rng)


@each()
def test_penalty_in_the_gradient(student, reference, rng, name):
    """The penalty is part of the gradient: 2 * reg * W, for all of W."""
    contract_of(name).check_penalty_in_gradient(student, reference, rng)


@each()
def test_absent_classes(student, reference, rng, name):
    """Classes that do not occur in the batch count like all others."""
    contract_of(name).check_absent_classes(student, reference, rng)


@each()
def test_one_picture(student, reference, rng, name):
    """A batch of one picture gives the right loss, a single number, and gradient."""
    contract_of(name).check_batch_of_one(student, reference, rng)
    contract_of(name).check_loss_is_one_number(student, reference, rng)


@each(weight=2)
def test_offsets(student, reference, rng, name):
    """Adding 1000 to all scores, or subtracting it, changes neither loss nor gradient."""
    contract_of(name).check_offsets(student, reference, rng)


@each()
def test_distant_class(student, reference, rng, name):
    """A class whose scores are far below all others leaves loss and gradient finite and right."""
    contract_of(name).check_distant_class(student, reference, rng)


@each()
def test_single_precision(student, reference, rng, name):
    """float32 weights and pictures are accepted."""
    contract_of(name).check_float32(student, reference, rng)


@each()
def test_inputs_are_left_alone(student, reference, rng, name):
    """W, X and y are not modified."""
    contract_of(name).check_inputs_unchanged(student, reference, rng)


@each()
def test_a_second_call(student, reference, rng, name):
    """Each call starts anew: a second one, on other sizes, knows nothing of the first."""
    first, second = draw_linear_problem(rng, 5, 3, 4, reg=0.5), draw_linear_problem(rng, 3, 6, 2, reg=0.5)
    right = getattr(reference, f"{name.partition('_')[0]}_loss_vectorized")
    for problem in (first, second, first):
        loss, dW = right(*problem)
        got = getattr(student, name)(*problem)
        assert_close(
            got, (loss, dW), rtol=1e-5, what="(loss, dW)", hint="Keep nothing from one call to the next."
        )


@each(["svm_loss_vectorized", "softmax_loss_vectorized"], weight=2)
def test_fast(student, reference, rng, budget, name):
    """On 2,000 pictures it is several times as fast as two loops are."""
    # Here two loops take about 40 ms and a loop over the pictures alone a third of that; a loop over the ten
    # classes takes 2 ms, no loop 1 ms, the way to the student's process and back included.
    problem = draw_linear_problem(rng, 2000, 20, 10, reg=0.1)
    fast, naive = getattr(student, name), getattr(reference, name.replace("vectorized", "naive"))
    expected = getattr(reference, name)(*problem)
    assert_close(fast(*problem), expected, rtol=1e-5, what="(loss, dW)")
    hint = "No Python loop over pictures: one matrix product for the scores, one for the gradient."
    budget.assert_faster(lambda: fast(*problem), lambda: naive(*problem), 5, what=name, hint=hint)
