"""The engine: broadcasting undone, tensors that remember, and the way back through graphs of every kind.

Nothing here looks into a tensor beyond data, grad and requires_grad, so that any design passes: closures, op
classes, one global tape. Expected gradients are counted or computed here, or come from the solution's engine.
"""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_unchanged, fail

# Served where a test fails: an error in an op is paid for in its own question.
NAMES = ["add", "sub", "mul", "div", "matmul", "sum", "mean", "exp", "log", "relu", "sigmoid", "tanh"]
OPS = [f"{name}_{way}" for name in [*NAMES, "softmax_cross_entropy"] for way in ("forward", "backward")]
OPS += ["unbroadcast"]


def program(text):
    """The steps of "a = mul x y; backward a; dx = grad x"."""
    steps = []
    for line in text.split(";"):
        result, _, rest = line.rpartition("=")
        steps.append((result.strip(), *rest.split()))
    return steps


def gradients_asked(names):
    """Steps that copy the gradient of each name to "d" + name."""
    return [(f"d{name}", "grad", name) for name in names]


def evaluate(student, steps, inputs, constants=()):
    """All results of the steps, a dict."""
    results = student.evaluate(steps, inputs, constants)
    if not isinstance(results, dict):
        fail("evaluate should return a dict, as it does where the notebook defines it.", value=results)
    return results


def compare(student, reference, steps, inputs, names, *, constants=(), hint="", rtol=1e-9):
    """The named results equal those of the solution's engine."""
    results = evaluate(student, steps, inputs, constants)
    expected = reference.evaluate(steps, inputs, constants)
    for name in names:
        what = f"the gradient {name}" if name.startswith("d") else name
        assert_close(results[name], expected[name], rtol=rtol, what=what, hint=hint)


def assert_no_gradient(gradient, what):
    """None, or zeros in a design that begins with these."""
    if gradient is not None and (not isinstance(gradient, np.ndarray | np.generic) or np.any(gradient)):
        fail(f"{what} should not have a gradient.", expected="None", got=str(gradient)[:200])


# --- unbroadcast


def summed_to(gradient, shape):
    """By definition: number the operand's elements, broadcast the numbers, add up what belongs to each."""
    size = int(np.prod(shape))
    owner = np.broadcast_to(np.arange(size).reshape(shape), gradient.shape)
    return np.bincount(owner.ravel(), weights=gradient.ravel(), minlength=size).reshape(shape)


def check_unbroadcast(student, rng, cases, hint):
    for result, shape in cases:
        gradient = rng.normal(size=result) + 0.5
        got = student.unbroadcast(gradient, shape)
        assert_close(got, summed_to(gradient, shape), what=f"the gradient for shape {shape}", hint=hint)


@pytest.mark.question("unbroadcast")
def test_missing_axes(student, rng):
    """Axes that broadcasting put in front are summed over and vanish."""
    cases = [((2, 3), (3,)), ((4, 2, 3), (3,)), ((4, 2, 3), (2, 3)), ((3, 3, 3), (3, 3)), ((5,), ())]
    check_unbroadcast(student, rng, cases, "As many axes in front as gradient has more than shape.")


@pytest.mark.question("unbroadcast")
def test_stretched_axes(student, rng):
    """Axes of size 1 are summed over and stay, with size 1."""
    cases = [((2, 3), (2, 1)), ((2, 3), (1, 3)), ((4, 2, 3), (4, 1, 3)), ((4, 2, 3), (1, 2, 1)), ((5,), (1,))]
    check_unbroadcast(student, rng, cases, "Sum over the axes whose size in shape is 1, with keepdims=True.")


@pytest.mark.question("unbroadcast", weight=2)
def test_missing_and_stretched_axes(student, rng):
    """Both at once: missing axes vanish, stretched ones stay, and a single number collects everything."""
    cases = [((2, 5, 3), (5, 1)), ((2, 5, 3), (1, 3)), ((2, 3, 4, 5), (1, 4, 1)), ((2, 3), ())]
    cases += [((4, 1, 3), (1, 1)), ((3, 2, 1), (1,))]
    hint = "After the axes in front are gone, the others have moved: count them from the right place."
    check_unbroadcast(student, rng, cases, hint)


@pytest.mark.question("unbroadcast")
def test_nothing_to_sum(student, rng):
    """A gradient that has the operand's shape already comes back as it is, and is not modified."""
    cases = [((2, 3), (2, 3)), ((1, 3), (1, 3)), ((1, 1), (1, 1)), ((1, 3), (3,)), ((), ())]
    check_unbroadcast(student, rng, cases, "An axis of size 1 may be one that was never stretched.")
    gradient = rng.normal(size=(3, 4))
    got = assert_unchanged(student.unbroadcast, gradient, (3, 1))
    assert_close(got, gradient.sum(axis=1, keepdims=True), what="the gradient for shape (3, 1)")


# --- tensor


@pytest.mark.question("tensor")
def test_sums_of_tensors(student, rng):
    """Tensors of any shape are added, and the operands stay as they are."""
    for a_shape, b_shape in (((3, 4), (3, 4)), ((2, 3), (3,)), ((), (2, 1)), ((4, 1), (1, 3))):
        inputs = {"a": rng.normal(size=a_shape), "b": rng.normal(size=b_shape)}
        results = evaluate(student, [("c", "add", "a", "b"), ("d", "add", "c", "a")], inputs)
        assert_close(results["c"], inputs["a"] + inputs["b"], what="a + b")
        assert_close(results["d"], inputs["a"] + inputs["b"] + inputs["a"], what="(a + b) + a")
        for name, before in inputs.items():
            assert_close(results[name], before, rtol=0, atol=0, what=f"{name} after the addition")


@pytest.mark.question("tensor")
def test_data_is_float(student):
    """Data is an array of floats, whether it was made from integers, a list or a number."""
    inputs = {"whole": np.array([1, 2, 3]), "list": [4, 5, 6], "number": 7, "single": np.float32([0.5, 1, 2])}
    results = evaluate(student, [("sum", "add", "whole", "list")], inputs)
    for name, values in (*inputs.items(), ("sum", [5, 7, 9])):
        got = results[name]
        assert_close(got, np.array(values, dtype=float), what=f"the data of a tensor made from {name}")
        if np.asarray(got).dtype.kind != "f":
            hint = "A gradient step on integers would be rounded: np.asarray(data, dtype=float)."
            fail(f"The data has dtype {np.asarray(got).dtype}.", expected="floats", hint=hint, value=results)


@pytest.mark.question("tensor", weight=2)
def test_requires_grad(student, rng):
    """A result requires a gradient as soon as one operand does, through any number of ops."""
    text = "cc = add c c; xc = add x c; cx = add c x; xx = add x x; ccc = add cc c; xcc = add xc cc"
    steps = program(f"{text}; ccx = add cc cx; sc = square cc; sx = square xcc")
    steps += [("x1", "add", "x", 1.0), ("c1", "add", 1.0, "c")]
    names = ["x", "c", *(step[0] for step in steps)]
    asked = [(f"{name}?", "requires_grad", name) for name in names]
    inputs = {"x": rng.normal(size=3), "c": rng.normal(size=3)}
    results = evaluate(student, [*steps, *asked], inputs, ["c"])
    assert_close(results["xcc"], inputs["x"] + 3 * inputs["c"], what="(x + c) + (c + c)")
    hint = "any(...) of the operands. Without a single one of them, nothing has to be remembered."
    for name in names:
        what = f"requires_grad of {name} (x requires a gradient, c and 1 do not)"
        assert_close(results[f"{name}?"], "x" in name, what=what, hint=hint)


@pytest.mark.question("tensor", weight=2, given=OPS)
def test_numbers_as_operands(student, rng):
    """A number or an array stands on either side of every operator."""
    inputs = {"x": rng.uniform(1, 2, size=(2, 3))}
    x, table = inputs["x"], rng.uniform(1, 2, size=(2, 3))
    operators = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}

    for other, kind in ((3.0, "a number"), (2, "an integer"), (table, "an array")):
        for name, of_numpy in operators.items():
            steps = [("right", name, "x", other), ("left", name, other, "x")]
            results = evaluate(student, steps, inputs)
            hint = "apply turns what is no tensor into one; it is a constant."
            assert_close(results["right"], of_numpy(x, other), what=f"x {name} {kind}", hint=hint)
            assert_close(results["left"], of_numpy(other, x), what=f"{kind} {name} x", hint=hint)
    steps = [("n", "neg", "x"), ("p", "matmul", table.T, "x"), ("q", "matmul", "x", table.T)]
    results = evaluate(student, steps, inputs)
    assert_close(results["n"], -x, what="-x")
    assert_close(results["p"], table.T @ x, what="an array @ x")
    assert_close(results["q"], x @ table.T, what="x @ an array")


@pytest.mark.question("tensor", given=OPS)
def test_settings_are_passed_on(student, rng):
    """apply hands its settings to the op: sums and means take axis and keepdims."""
    x = rng.normal(size=(2, 3))
    for settings in ({}, {"axis": 0}, {"axis": 1, "keepdims": True}):
        results = evaluate(student, [("s", "sum", "x", settings), ("m", "mean", "x", settings)], {"x": x})
        hint = "forward(*arrays, **settings), whatever the settings are."
        assert_close(results["s"], x.sum(**settings), what=f"the sum with {settings}", hint=hint)
        assert_close(results["m"], x.mean(**settings), what=f"the mean with {settings}", hint=hint)


@pytest.mark.question("tensor", weight=2)
def test_a_sum_and_its_gradients(student, rng):
    """grad is None at first; backward fills it in operands that require one, zero_grad forgets it."""
    x, y, dout = rng.normal(size=(3, 2, 3))
    steps = [("x before", "grad", "x"), ("z", "add", "x", "y"), ("x after the sum", "grad", "x")]
    steps += [("", "backward", "z", dout), *gradients_asked("xy")]
    steps += [("", "zero_grad", "x"), ("x zeroed", "grad", "x"), ("y kept", "grad", "y")]
    hint = "apply must let the result remember its operands, backward and the cache."
    for constants in ((), ("y",)):
        results = evaluate(student, steps, {"x": x, "y": y}, constants)
        assert_no_gradient(results["x before"], "A new tensor")
        assert_no_gradient(results["x after the sum"], "A tensor that was only added")
        assert_close(results["dx"], dout, what="the gradient of x in x + y", hint=hint)
        assert_no_gradient(results["x zeroed"], "x after zero_grad")
        if not constants:
            assert_close(results["dy"], dout, what="the gradient of y in x + y", hint=hint)
            assert_close(results["y kept"], dout, what="the gradient of y after zero_grad of x")


# --- backpropagate: one pass


@pytest.mark.question("backpropagate")
def test_upstream_gradient(student, rng):
    """The gradient given to backward is what everything is multiplied with; without one, ones."""
    for shape in ((), (3,), (2, 3)):
        x, dout = rng.normal(size=shape), rng.normal(size=shape)
        steps = [("out", "square", "x"), ("", "backward", "out", dout), *gradients_asked("x")]
        results, after = student.evaluate.after(steps, {"x": x})
        assert_close(results["dx"], 2 * x * dout, what="the gradient of x**2")
        assert_close(after[0][1][3], dout, rtol=0, atol=0, what="the upstream gradient after backward")
        results = evaluate(student, [steps[0], ("", "backward", "out"), steps[2]], {"x": x})
        assert_close(results["dx"], 2 * x, what="the gradient of x**2 without an upstream gradient")


@pytest.mark.question("backpropagate", weight=2, given=OPS)
def test_fan_out(student, reference, rng):
    """What comes back from several uses of a tensor is added up, also when one op uses it twice."""
    inputs = {"x": rng.normal(size=(2, 3)), "y": rng.normal(size=(2, 3))}
    programs = [
        "out = add x x",
        "out = mul x x",
        "a = mul x x; out = mul a x",
        "a = add x y; b = mul x y; c = sub x a; d = mul a b; out = add d c",
        "a = add x x; b = add a a; out = mul b a",
    ]

    for text in programs:
        used = [name for name in inputs if f" {name}" in text]
        asked = [("", "backward", "out", rng.normal(size=(2, 3))), *gradients_asked(used)]
        names = [f"d{name}" for name in used]
        hint = f"{text}: the gradient of a tensor is the sum over all its uses."
        compare(student, reference, [*program(text), *asked], inputs, names, hint=hint)


def random_sums(rng, count):
    """A graph of additions, h_k = h_i + h_j with earlier i and j, and the number of paths from each input."""
    pairs = [(int(rng.integers(0, k)), int(rng.integers(max(0, k - 3), k))) for k in range(3, count)]
    steps = [(f"h{k}", "add", f"h{i}", f"h{j}") for k, (i, j) in enumerate(pairs, start=3)]
    paths = np.zeros(count)
    paths[-1] = 1
    for k in range(count - 1, 2, -1):
        for operand in pairs[k - 3]:
            paths[operand] += paths[k]
    return steps, paths


@pytest.mark.question("backpropagate", weight=2, given=OPS)
def test_paths_are_counted(student, rng):
    """In a graph of additions the gradient of an input is the number of paths from it to the result."""
    graphs = [random_sums(rng, count) for count in (6, 9, 14, 20, 30)]

    for steps, paths in graphs:
        inputs = {f"h{k}": rng.normal(size=2) for k in range(3)}
        asked = [("", "backward", steps[-1][0]), *gradients_asked(inputs)]
        results = evaluate(student, [*steps, *asked], inputs)
        for name, count in zip(inputs, paths, strict=False):
            hint = "A tensor may send its gradient on only after all of its users have sent theirs."
            if count:
                what = f"the gradient of {name} in a graph of {len(steps)} additions"
                assert_close(results[f"d{name}"], np.full(2, count), what=what, hint=hint)
            else:
                assert_no_gradient(results[f"d{name}"], f"{name}, which the result does not depend on,")


def random_program(rng, count):
    """`count` steps with all sorts of ops on tensors of shape (2, 3), with fan-out and dead ends."""
    names, steps = ["x", "y", "c"], []
    for k in range(count):
        first, second = rng.choice(names, size=2)
        what = str(rng.choice(["add", "sub", "mul", "tanh", "sigmoid", "square", "exp", "row", "total"]))
        if what in ("add", "sub", "mul"):
            step = (what, str(first), str(second))
        elif what == "row":
            step = ("mean", str(first), {"axis": 0, "keepdims": True})
        elif what == "total":
            step = ("sum", str(first), {"axis": 1, "keepdims": True})
        else:
            step = (what, str(first))
        # tanh keeps the numbers small, whatever came before
        steps += [(f"a{k}", *step), (f"h{k}", "tanh", f"a{k}")]
        names.append(f"h{k}")
    return [*steps, ("all", "add", names[-1], names[-2]), ("out", "mul", "all", "x")]


@pytest.mark.question("backpropagate", weight=2, given=OPS)
def test_random_programs(student, reference, rng):
    """Programs of thirty random steps, with fan-out, broadcasting and dead ends, have the right gradients."""
    programs = [random_program(rng, 15) for _ in range(4)]
    inputs = {name: rng.normal(size=(2, 3)) for name in ("x", "y", "c")}

    for steps in programs:
        asked = [("", "backward", "out", np.array([[1.0, -2, 0.5], [3, 1, -1]])), *gradients_asked("x")]
        compare(student, reference, [*steps, *asked], inputs, ["out", "dx"], constants=["c"])


@pytest.mark.question("backpropagate", given=OPS)
def test_many_paths(student):
    """x = x + x, sixty times: 2**60 paths and sixty ops."""
    steps = [("h", "add", "x", "x"), (59, [("h", "add", "h", "h")]), ("", "backward", "h")]
    results = evaluate(student, [*steps, ("dx", "grad", "x")], {"x": np.array([1.0, 2.0])})
    hint = "Visit each tensor once, after all of its users, not once for each path."
    assert_close(results["dx"], np.full(2, 2.0**60), what="the gradient of x", hint=hint)


@pytest.mark.question("backpropagate", weight=2)
def test_deep_graphs(student, rng):
    """A chain of 10,000 ops in which the same tensor is used again and again."""
    # Additions of equal shapes: the error of any other op, or of unbroadcast, leaves them right.
    h, w, dout = rng.normal(size=(3, 2))
    for count, *operands in ((10_000, "h", "w"), (2_000, "w", "h")):
        asked = [("", "backward", "h", dout), *gradients_asked("w")]
        results = evaluate(student, [(count, [("h", "add", *operands)]), *asked], {"h": h, "w": w})
        hint = f"h = {' + '.join(operands)}, {count:,} times. Nested calls end at about 1,000: keep a stack."
        assert_close(results["dw"], count * dout, what="the gradient of w", hint=hint)


@pytest.mark.question("backpropagate", given=OPS)
def test_reuse_in_a_loop(student, rng):
    """A weight that every turn of a loop uses collects the gradients of all turns."""
    inputs = {"h": rng.normal(size=2), "w": rng.uniform(0.8, 1.1, size=2), "b": rng.normal(size=2)}
    loops = {
        "h = h * w + b": [("h", "mul", "h", "w"), ("h", "add", "h", "b")],
        "h = b + w * h": [("h", "mul", "w", "h"), ("h", "add", "b", "h")],
    }
    for text, loop in loops.items():
        h, dw, db = inputs["h"], np.zeros(2), np.zeros(2)
        for _ in range(25):  # the derivatives, carried along
            h, dw, db = h * inputs["w"] + inputs["b"], dw * inputs["w"] + h, db * inputs["w"] + 1
        asked = [("", "backward", "h"), *gradients_asked("wb")]
        results = evaluate(student, [(25, loop), *asked], inputs)
        hint = f"{text}, 25 times: the gradient of w is the sum of what all 25 products send back."
        assert_close(results["dw"], dw, what="the gradient of w", hint=hint)
        assert_close(results["db"], db, what="the gradient of b", hint=hint)


@pytest.mark.question("backpropagate")
def test_shared_arrays(student, reference, rng):
    """The gradient of one tensor is not written into by that of another."""
    inputs = {name: rng.normal(size=3) for name in "xyz"}
    # An addition hands the same array to both of its operands: adding in place to one changes the other.
    # (No op is served here: what comes from the grader is a copy, in which nothing is shared.)
    programs = [
        "a = add x y; out = add a x",
        "a = add x y; b = add a z; c = add b x; out = add x c",
        "a = add x y; b = square x; c = add b a; out = add c z",
        "a = add x x; b = add y a; c = add z b; out = add c x",
    ]

    for text in programs:
        used = [name for name in inputs if f" {name}" in text]
        for dout in (rng.normal(size=3), None):
            asked = [("", "backward", "out", dout), *gradients_asked(used)]
            hint = f"{text}. Make a new array for a sum: += writes into one that others may hold."
            names = [f"d{name}" for name in used]
            compare(student, reference, [*program(text), *asked], inputs, names, hint=hint)


@pytest.mark.question("backpropagate", given=OPS)
def test_constants_get_no_gradient(student, rng):
    """What does not require a gradient gets none; what does gets the right one past all constants."""
    x, c = rng.normal(size=(2, 2)), rng.normal(size=(2, 2))

    steps = program("cc = mul c c; a = mul cc x; b = add c a; out = mul cc b; backward out")
    results = evaluate(student, [*steps, *gradients_asked("xc")], {"x": x, "c": c}, ["c"])
    assert_close(results["dx"], c**4, what="the gradient of x in c**2 (c + c**2 x)")
    assert_no_gradient(results["dc"], "c, a constant,")


# --- backpropagate: several passes


@pytest.mark.question("backpropagate", weight=2, given=OPS)
def test_passes_add_up(student, reference, rng):
    """A second and a third backward each add the same gradient again."""
    inputs = {"x": rng.normal(size=3), "y": rng.normal(size=3)}
    steps = program("a = mul x y; b = square a; c = mul b x; out = add c a")
    for number in ("1", "2", "3"):
        steps += [("", "backward", "out", np.array([1.0, -1, 2]))]
        steps += [(f"dx, pass {number}", "grad", "x"), (f"dy, pass {number}", "grad", "y")]

    names = [f"d{name}, pass {number}" for number in (1, 2, 3) for name in "xy"]
    hint = "Twice and three times the first, no more: what is left in the middle must not be sent again."
    compare(student, reference, steps, inputs, names, hint=hint)


@pytest.mark.question("backpropagate", given=OPS)
def test_two_results_of_one_graph(student, reference, rng):
    """Two losses that share a part of their graph, one backward after the other."""
    inputs = {"x": rng.normal(size=3), "w": rng.normal(size=3)}
    text = "h = mul x w; one = square h; two = mul h x; backward one; dx first = grad x; backward two"
    text += "; dx = grad x; dw = grad w; backward h; dx last = grad x; dw last = grad w"
    steps = program(text)

    names = ["dx first", "dx", "dw", "dx last", "dw last"]
    compare(student, reference, steps, inputs, names, hint="Each pass sends back what it brought itself.")


@pytest.mark.question("backpropagate", given=OPS)
def test_zero_grad(student, rng):
    """After zero_grad a gradient starts afresh, and only that one."""
    x, y = rng.normal(size=3), rng.normal(size=3)

    steps = program("a = mul x y; backward a; zero_grad x; none = grad x; b = mul a y; backward b")
    results = evaluate(student, [*steps, *gradients_asked("xy")], {"x": x, "y": y})
    assert_close(results["dx"], y**2, what="the gradient of x after zero_grad")
    assert_close(results["dy"], x + 2 * x * y, what="the gradient of y, which was not zeroed")
    assert_no_gradient(results["none"], "x after zero_grad")


@pytest.mark.question("backpropagate", given=OPS)
def test_two_graphs(student, rng):
    """Two graphs made at the same time do not disturb each other."""
    x, y = rng.normal(size=(2, 3)), rng.normal(size=4)

    text = "a = square x; b = square y; c = mul a x; d = mul b b; backward c; not yet = grad y"
    steps = [*program(f"{text}; backward d"), *gradients_asked("xy")]
    results = evaluate(student, steps, {"x": x, "y": y})
    assert_close(results["dx"], 3 * x**2, what="the gradient of x**3")
    assert_close(results["dy"], 4 * y**3, what="the gradient of y**4")
    assert_no_gradient(results["not yet"], "y before its own backward")
