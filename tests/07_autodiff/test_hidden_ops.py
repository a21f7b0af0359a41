"""The ops: values against NumPy, gradients against central differences of NumPy, in every element.

Each test is a graph of a single op, so that it asks as little as possible of the engine; values are compared
without a backward pass and gradients without looking at values, so that neither costs the other.
"""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_stable, fail, numerical_gradient


def cross_entropy(scores, labels):
    """By definition, for scores that do not overflow."""
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return -np.mean([np.log(p[n, label]) for n, label in enumerate(labels)])


NUMPY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "matmul": np.matmul,
    "sum": np.sum,
    "mean": np.mean,
    "exp": np.exp,
    "log": np.log,
    "relu": lambda a: np.where(a > 0, a, 0.0),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "softmax_cross_entropy": cross_entropy,
}


def evaluate(student, steps, inputs):
    """All results of the steps, a dict."""
    results = student.evaluate(steps, inputs)
    if not isinstance(results, dict):
        fail("evaluate should return a dict, as it does where the notebook defines it.", value=results)
    return results


def by_numpy(op, inputs, extra):
    """The op's value, computed by NumPy."""
    settings = extra[-1] if extra and isinstance(extra[-1], dict) else {}
    rest = [value for value in extra if not isinstance(value, dict)]
    return NUMPY[op](*inputs.values(), *rest, **settings)


def check_values(student, op, cases, hint=""):
    """The op's value equals NumPy's, and the inputs are as before. cases: [(inputs, *what follows them)]."""
    for inputs, *extra in cases:
        results, after = student.evaluate.after([("out", op, *inputs, *extra)], inputs)
        shapes = " and ".join(str(np.shape(value)) for value in inputs.values())
        what = f"{op} of {shapes}{describe(extra)}"
        assert_close(results["out"], by_numpy(op, inputs, extra), what=what, hint=hint)
        assert_close(after[1], inputs, rtol=0, atol=0, what="the inputs after the op", hint="Work on a copy.")


def describe(extra):
    """The settings, in words."""
    return "".join(f" with {value}" for value in extra if isinstance(value, dict) and value)


def check_gradients(student, rng, op, cases, names=None, hint=""):
    """The gradients of an op agree with central differences to 1e-7, for a random upstream gradient."""
    for inputs, *extra in cases:
        out = by_numpy(op, inputs, extra)
        dout = rng.normal(size=np.shape(out)) + 0.5
        asked = [(f"d{name}", "grad", name) for name in inputs]
        steps = [("out", op, *inputs, *extra), ("", "backward", "out", dout), *asked]
        results, after = student.evaluate.after(steps, inputs)
        for name in names or inputs:

            def along(value, name=name, inputs=inputs, extra=extra):
                return by_numpy(op, {**inputs, name: value}, extra)

            expected = numerical_gradient(along, inputs[name], dout)
            shapes = " and ".join(str(np.shape(value)) for value in inputs.values())
            what = f"the gradient of {name} in {op} of {shapes}{describe(extra)}"
            assert_close(results[f"d{name}"], expected, rtol=1e-7, atol=1e-8, what=what, hint=hint)
        same = {"rtol": 0, "atol": 0, "hint": "Write into no array that was handed to you: make a new one."}
        assert_close(after[0][1][3], dout, what="the upstream gradient after backward", **same)
        assert_close(after[1], inputs, what="the inputs after backward", **same)


# --- arithmetic

UNBROADCAST = ["unbroadcast"]  # an error in it has been paid for in its own question
PATTERNS = [
    ((2, 3), (2, 3)),
    ((), ()),
    ((3, 4), (4,)),  # a row
    ((3, 4), (3, 1)),  # a column
    ((3, 1), (1, 4)),  # both stretched
    ((), (2, 3)),  # a number
    ((2, 3), (1, 1)),
    ((4,), (2, 3, 4)),  # missing axes
    ((2, 3, 4), (3, 1)),  # a missing and a stretched axis
    ((2, 1, 4), (3, 1)),
    ((1, 3), (3,)),
]


def operands(rng, patterns=PATTERNS):
    """Two operands for each pattern, of either sign, neither near zero."""
    cases = []
    for pattern in patterns:
        inputs = {}
        for name, shape in zip("ab", pattern, strict=True):
            inputs[name] = np.asarray(rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.7, 2, size=shape))
        cases.append((inputs,))
    return cases


@pytest.mark.question("arithmetic")
def test_arithmetic_values(student, rng):
    """a - b, a * b and a / b are right in every pattern of broadcasting."""
    for op in ("sub", "mul", "div"):
        check_values(student, op, operands(rng))


BROADCAST_HINT = "Each gradient has the shape of its own operand: unbroadcast both."


@pytest.mark.question("tensor", weight=2, given=UNBROADCAST)
def test_add_gradients(student, rng):
    """A sum remembers its operands: the gradients of a + b are right in every pattern of broadcasting."""
    check_gradients(student, rng, "add", operands(rng), ["a", "b"], BROADCAST_HINT)


@pytest.mark.question("arithmetic", given=UNBROADCAST)
def test_sub_gradients(student, rng):
    """The gradients of a - b are right in every pattern of broadcasting."""
    check_gradients(student, rng, "sub", operands(rng), ["a", "b"], BROADCAST_HINT)


@pytest.mark.question("arithmetic", weight=2, given=UNBROADCAST)
def test_mul_gradients(student, rng):
    """The gradients of a * b are right in every pattern of broadcasting."""
    hint = "The gradient of a is dout * b, summed to the shape of a."
    check_gradients(student, rng, "mul", operands(rng), ["a", "b"], hint)


@pytest.mark.question("arithmetic", given=UNBROADCAST)
def test_div_gradient_of_a(student, rng):
    """The gradient of a in a / b is right in every pattern of broadcasting."""
    check_gradients(student, rng, "div", operands(rng), ["a"], "dout / b, summed to the shape of a.")


@pytest.mark.question("arithmetic", weight=2, given=UNBROADCAST)
def test_div_gradient_of_b(student, rng):
    """The gradient of b in a / b is right in every pattern of broadcasting."""
    check_gradients(student, rng, "div", operands(rng), ["b"], "-dout * a / b**2, summed to the shape of b.")


# --- matmul


def matrices(rng):
    """Pairs of matrices; square ones last, in which a missing transpose goes unseen in the shapes."""
    sizes = [(3, 4, 2), (1, 3, 2), (2, 1, 3), (4, 2, 1), (1, 1, 1), (3, 3, 3)]
    return [({"a": rng.normal(size=(N, D)), "b": rng.normal(size=(D, M))},) for N, D, M in sizes]


@pytest.mark.question("matmul")
def test_matmul_values(student, rng):
    """The product is right for matrices of any shape."""
    check_values(student, "matmul", matrices(rng))


@pytest.mark.question("matmul")
def test_matmul_gradient_of_a(student, rng):
    """The gradient of the left matrix is right."""
    check_gradients(student, rng, "matmul", matrices(rng), ["a"], "dout (N, M) times b transposed (M, D).")


@pytest.mark.question("matmul")
def test_matmul_gradient_of_b(student, rng):
    """The gradient of the right matrix is right."""
    check_gradients(student, rng, "matmul", matrices(rng), ["b"], "a transposed (D, N) times dout (N, M).")


# --- sum and mean

AXES = [None, 0, 1, -1, -2, (0, 2), (-1, -3), (0, 1, 2)]


def reductions(rng, keepdims):
    """A cube with three different sizes, over every choice of axes; then a vector, a number, a single row."""
    settings = {"keepdims": True} if keepdims else {}
    cases = [({"a": rng.normal(size=(2, 3, 4))}, {"axis": axis, **settings}) for axis in AXES]
    cases += [({"a": rng.normal(size=5)}, {"axis": 0, **settings})]
    cases += [({"a": rng.normal(size=())}, settings), ({"a": rng.normal(size=(1, 4))}, settings)]
    cases += [({"a": rng.normal(size=(3, 3))}, {"axis": axis, **settings}) for axis in (0, 1)]
    return cases


@pytest.mark.question("sum_mean")
def test_sum_values(student, rng):
    """Sums over any axes are right, with and without keepdims."""
    check_values(student, "sum", [*reductions(rng, False), *reductions(rng, True)])


@pytest.mark.question("sum_mean")
def test_mean_values(student, rng):
    """Means over any axes are right, with and without keepdims."""
    check_values(student, "mean", [*reductions(rng, False), *reductions(rng, True)])


@pytest.mark.question("sum_mean", weight=2)
def test_sum_gradients(student, rng):
    """The gradient of a sum is right, for any axes."""
    hint = "Put the axes that have vanished back with size 1, then spread the gradient over them."
    check_gradients(student, rng, "sum", reductions(rng, False), hint=hint)


@pytest.mark.question("sum_mean", weight=2)
def test_mean_gradients(student, rng):
    """The gradient of a mean is right, for any axes."""
    hint = "As for the sum, divided by the number of elements in each mean: a.size / out.size."
    check_gradients(student, rng, "mean", reductions(rng, False), hint=hint)


@pytest.mark.question("sum_mean")
def test_gradients_keepdims(student, rng):
    """With keepdims=True, the gradients of sum and mean are right, for any axes."""
    hint = "With keepdims the axes are still there: do not put them in a second time."
    for op in ("sum", "mean"):
        check_gradients(student, rng, op, reductions(rng, True), hint=hint)


# --- one operand, element by element


def elementwise(rng, low, high, shapes=((3, 4), (5,), (), (1, 1), (2, 1, 3))):
    """Arrays of several shapes; with negative numbers among them, none is closer to zero than 0.01."""
    cases = []
    for shape in shapes:
        a = np.asarray(rng.uniform(low, high, size=shape))
        cases.append(({"a": np.where(np.abs(a) < 0.01, 0.01, a)},))
    return cases


@pytest.mark.question("exp_log")
def test_exp_values(student, rng):
    """exp is right, for arrays of any shape."""
    check_values(student, "exp", elementwise(rng, -3, 3))


@pytest.mark.question("exp_log")
def test_exp_gradients(student, rng):
    """The gradient of exp is right."""
    check_gradients(student, rng, "exp", elementwise(rng, -2, 2), hint="exp is its own derivative.")


@pytest.mark.question("exp_log")
def test_log_values(student, rng):
    """The natural logarithm is right, for arrays of any shape."""
    check_values(student, "log", elementwise(rng, 0.2, 5), "The natural logarithm is np.log.")


@pytest.mark.question("exp_log")
def test_log_gradients(student, rng):
    """The gradient of the logarithm is right."""
    check_gradients(student, rng, "log", elementwise(rng, 0.5, 3), hint="The derivative of log a is 1 / a.")


@pytest.mark.question("activations")
def test_activation_values(student, rng):
    """relu, sigmoid and tanh are right, for arrays of any shape."""
    for op in ("relu", "sigmoid", "tanh"):
        check_values(student, op, elementwise(rng, -4, 4))


@pytest.mark.question("activations", weight=2)
def test_relu_gradients(student, rng):
    """The gradient of relu passes where its input was positive, whatever the sign of the gradient."""
    cases = [({"a": np.array([[2.0, -3, 0.5], [-0.1, 7, -9]])},), *elementwise(rng, -3, 3)]
    check_gradients(student, rng, "relu", cases, hint="dout where a > 0, else 0, in a new array.")


@pytest.mark.question("activations", weight=2)
def test_sigmoid_gradients(student, rng):
    """The gradient of sigmoid is right."""
    hint = "out * (1 - out), where out is the sigmoid already."
    check_gradients(student, rng, "sigmoid", elementwise(rng, -3, 3), hint=hint)


@pytest.mark.question("activations", weight=2)
def test_tanh_gradients(student, rng):
    """The gradient of tanh is right."""
    check_gradients(student, rng, "tanh", elementwise(rng, -3, 3), hint="1 - out**2, where out is the tanh.")


@pytest.mark.question("activations")
def test_saturation(student):
    """sigmoid and tanh of large numbers are finite, and so are their gradients, at each sign by itself."""
    for op, low in (("sigmoid", 0.0), ("tanh", -1.0)):
        for a, value in ((np.array([800.0, 1e5, 60]), 1.0), (np.array([-800.0, -1e5, -60]), low)):
            steps = [("out", op, "a"), ("", "backward", "out", np.ones(3)), ("da", "grad", "a")]
            results = evaluate(student, steps, {"a": a})
            assert_stable(results["out"], np.full(3, value), what=f"{op} of {a}")
            assert_stable(results["da"], np.zeros(3), what=f"the gradient of {op} at {a}")
    # Far out, the small value counts: exp(-40), not 0.
    results = evaluate(student, [("out", "sigmoid", "a")], {"a": np.array([-40.0, -200.0])})
    assert_close(results["out"] * np.exp([40.0, 200.0]), np.ones(2), rtol=1e-6, what="exp(-a) sigmoid(a)")


# --- loss


def classifications(rng):
    """Scores and labels; N and K differ, one class is never the label, one batch has a single row."""
    labels = [np.array([1, 0, 1, 3, 3]), np.array([2]), np.array([0, 1, 1]), np.array([2, 2, 0, 2])]
    sizes = [(5, 4), (1, 3), (3, 2), (4, 4)]
    pairs = zip(sizes, labels, strict=True)
    return [({"scores": rng.normal(scale=2, size=size)}, each) for size, each in pairs]


@pytest.mark.question("softmax_cross_entropy", weight=2)
def test_loss_values(student, rng):
    """The loss is the mean cross-entropy, a single number."""
    check_values(student, "softmax_cross_entropy", classifications(rng), "The mean of -log p over the rows.")


@pytest.mark.question("softmax_cross_entropy", weight=3)
def test_loss_gradients(student, rng):
    """The gradient of the scores is right, for any upstream gradient of the loss."""
    hint = "(p - 1 at the label) / N, times the upstream gradient."
    check_gradients(student, rng, "softmax_cross_entropy", classifications(rng), hint=hint)


def extreme_scores():
    """Rows of very large, very small, and very different scores, with exact losses and probabilities."""
    rows = [[1e5, 0, -1e5], [-1e5, -1e5, -1e5 + np.log(2)], [1000, 1000, -1000], [-700, 3, 3]]
    scores = np.array(rows, dtype=float)
    labels = np.array([1, 2, 0, 0])
    losses = np.array([1e5, np.log(2), np.log(2), 703 + np.log(2)])
    probabilities = np.array([[1, 0, 0], [0.25, 0.25, 0.5], [0.5, 0.5, 0], [0, 0.5, 0.5]])
    return scores, labels, losses, probabilities


@pytest.mark.question("softmax_cross_entropy", weight=2)
def test_loss_stable(student):
    """The loss is finite and right for scores of 100,000, also where the label's probability underflows."""
    scores, labels, losses, _ = extreme_scores()
    for rows in ([0], [1], [2], [3], [0, 1, 2, 3]):
        step = ("out", "softmax_cross_entropy", "scores", labels[rows])
        got = evaluate(student, [step], {"scores": scores[rows]})["out"]
        hint = "log p = s - max - log(sum(exp(s - max))), with the maximum of each row by itself."
        assert_stable(got, losses[rows].mean(), what=f"the loss of row {rows}", hint=hint, rtol=1e-9)


@pytest.mark.question("softmax_cross_entropy")
def test_loss_gradients_stable(student):
    """The gradient is finite and right for scores of 100,000."""
    scores, labels, _, probabilities = extreme_scores()
    expected = (probabilities - np.eye(3)[labels]) / 4
    step = ("out", "softmax_cross_entropy", "scores", labels)
    results = evaluate(student, [step, ("", "backward", "out"), ("d", "grad", "scores")], {"scores": scores})
    assert_stable(results["d"], expected, what="the gradient of the scores", rtol=1e-9, atol=1e-9)


@pytest.mark.question("softmax_cross_entropy")
def test_loss_inside_a_graph(student, rng):
    """The loss is a tensor like any other: its sum with itself has twice the gradient."""
    scores, labels = rng.normal(size=(3, 4)), np.array([0, 2, 2])
    loss = ("loss", "softmax_cross_entropy", "scores", labels)
    once = numerical_gradient(lambda value: np.array(cross_entropy(value, labels)), scores)
    for dout in (None, np.array(2.0), np.array(-0.5)):
        steps = [loss, ("", "backward", "loss", dout), ("d", "grad", "scores")]
        got = evaluate(student, steps, {"scores": scores})["d"]
        factor = 1.0 if dout is None else float(dout)
        what = f"the gradient for the upstream gradient {dout}"
        assert_close(got, factor * once, rtol=1e-7, atol=1e-8, what=what)
