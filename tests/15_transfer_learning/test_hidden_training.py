"""The head on frozen features, the loop of fine-tuning, the confusion matrix and Grad-CAM.

What a student's code trains is made twice: of torch beside it and of torch here, with the same weights.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autograder.checking import assert_close, assert_unchanged, fail

K = 3


def normal(rng, *shape):
    """Normal numbers as a float64 tensor."""
    return torch.tensor(rng.normal(size=shape))


def state_of(student, model):
    """A model's parameters and buffers by name."""
    return {name: value.numpy() for name, value in student.builtin("dict", model.state_dict()).items()}


def drawn(rng, state):
    """Random values for a state dict, of a kind that each may have."""
    filled = {}
    for name, tensor in state.items():
        shape = tuple(tensor.shape)
        if not tensor.is_floating_point():
            filled[name] = tensor
        elif name.endswith("running_var"):
            filled[name] = torch.tensor(rng.uniform(0.5, 2, size=shape))
        else:
            filled[name] = torch.tensor(rng.normal(scale=0.7, size=shape))
    return filled


# --- fit_head
def objective(W, b, f, y, decay):
    """The mean cross-entropy with its penalty."""
    return float(F.cross_entropy(f @ W.T + b, y) + decay / 2 * W.square().sum())


def lowest(f, y, classes, decay):
    """The lowest value there is, by Newton's method with all curvature."""
    D = f.shape[1]
    theta = torch.zeros(classes * (D + 1), dtype=torch.float64)

    def value(theta):
        W, b = theta[: classes * D].reshape(classes, D), theta[classes * D :]
        return F.cross_entropy(f @ W.T + b, y) + decay / 2 * W.square().sum()

    for _ in range(60):
        gradient = torch.autograd.functional.jacobian(value, theta)
        curvature = torch.autograd.functional.hessian(value, theta) + 1e-9 * torch.eye(len(theta)).double()
        step, scale = torch.linalg.solve(curvature, gradient), 1.0
        while value(theta - scale * step) > value(theta) and scale > 1e-6:
            scale /= 2
        theta = theta - scale * step
        if float(gradient.abs().max()) < 1e-10:
            break
    return float(value(theta))


def head_of(student, f, y, classes, decay):
    """Weights and biases of the head that was fitted; the features must stay as they are."""
    head, after = student.fit_head.after(f, y, classes, decay)
    if not torch.equal(after[0], f):
        fail("fit_head changed the features in place.", hint="Work on a copy.")
    state = {name: torch.tensor(value) for name, value in state_of(student, head).items()}
    if sorted(state) != ["bias", "weight"]:
        fail("fit_head should return an nn.Linear.", got=str(sorted(state)))
    assert_close(list(state["weight"].shape), [classes, f.shape[1]], what="the shape of the weights")
    if state["weight"].dtype != f.dtype:
        fail(
            "The head should have the dtype of the features.",
            expected=str(f.dtype),
            got=str(state["weight"].dtype),
        )
    return head, state["weight"].double(), state["bias"].double()


@pytest.mark.question("fit_head", weight=4)
def test_fit_head_optimum(student, rng):
    """The loss with its penalty is the lowest possible, for separable and overlapping classes."""
    for N, D, classes, decay, spread, stretch in (
        (40, 8, 4, 0.003, 1.0, 2.0),  # takes some dozen steps even where curvature is looked at
        (12, 9, 2, 0.1, 3.0, 1.0),
        (60, 3, 4, 0.3, 0.3, 1.0),
    ):
        y = torch.tensor(rng.permutation(np.arange(N) % classes))
        f = normal(rng, N, D) + spread * normal(rng, classes, D)[y]
        f = f * torch.tensor(np.linspace(1 / stretch, stretch, D))
        _, W, b = head_of(student, f, y, classes, decay)
        best, got = lowest(f, y, classes, decay), objective(W, b, f, y, decay)
        if not got <= best + 1.5e-4:
            fail(
                f"The loss is {got:.6g}, and the lowest possible is {best:.6g}.",
                expected=f"at most {best + 1e-4:.6g}", got=f"{got:.6g}",
                hint="Mean cross-entropy plus decay / 2 times the sum of squared weights; train to the end.",
            )  # fmt: skip


@pytest.mark.question("fit_head")
def test_fit_head_biases_are_free(student, rng):
    """The biases are not penalised: with features of 0 they give the frequencies of the classes."""
    y = torch.tensor([0] * 12 + [1] * 3 + [2])
    _, W, b = head_of(student, torch.zeros(16, 2).double(), y, 3, 5.0)
    p = b.softmax(dim=0)
    hint = "Only the weights are in the penalty, not the biases."
    assert_close(
        p,
        np.array([12, 3, 1]) / 16,
        rtol=0,
        atol=0.02,
        what="the probabilities where features are 0",
        hint=hint,
    )
    assert_close(
        W, np.zeros((3, 2)), rtol=0, atol=0.02, what="the weights, of which only the penalty is left"
    )


@pytest.mark.question("fit_head")
def test_fit_head_more_features_than_examples(student, rng):
    """Far more features than examples, in float32, as for a real backbone: all are classified right."""
    y = torch.tensor(np.arange(24) % 4)
    f = torch.tensor(rng.normal(size=(24, 150)), dtype=torch.float32)
    head, W, b = head_of(student, f, y, 4, 0.01)
    logits = head(f).detach()
    assert_close(logits.argmax(dim=1), y.numpy(), what="the answers on the training examples")
    assert_close(logits, (f.double() @ W.T + b).numpy(), rtol=1e-3, atol=1e-4, what="what the head computes")
    # The weights of the best head lie in the span of the examples, which is small enough for Newton's method.
    basis = torch.linalg.qr(f.double().T).Q
    best, got = lowest(f.double() @ basis, y, 4, 0.01), objective(W, b, f.double(), y, 0.01)
    if not got <= best + 3e-4:
        fail(f"The loss is {got:.6g}, and the lowest possible is {best:.6g}.", hint="Train to the end.")


# --- fine_tune
def networks(student, rng, make=None):
    """(theirs, ours): a body with batch normalisation, dropout and a head, with the same weights."""

    def network(nn):
        body = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU())
        return nn.Sequential(body, nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, K)).double()

    theirs, ours = ((make or network)(there.nn) for there in (student.value("torch"), torch))
    state = drawn(rng, ours.state_dict())
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    return theirs, ours


class Task:
    """Models, optimisers and loaders, once beside the student's code and once here."""

    def __init__(
        self, student, rng, *, N=10, num_val=7, rates=(0.3, 0.1), frozen=(), make=None, val=None, wrong=False
    ):
        self.student = student
        x, y = normal(rng, N, 2, 2), torch.tensor(rng.integers(0, K, size=N))
        if wrong:
            val = x, (y + 1) % K
        x_val, y_val = val or (normal(rng, num_val, 2, 2), torch.tensor(rng.integers(0, K, size=num_val)))
        self.sides = []
        for there, model in zip((student.value("torch"), torch), networks(student, rng, make), strict=True):
            data = there.utils.data
            loaders = [
                data.DataLoader(data.TensorDataset(*pair), batch_size=4) for pair in ((x, y), (x_val, y_val))
            ]
            mine = there is torch
            for name in frozen:
                model.get_submodule(name).requires_grad_(False)
            if mine:
                split = [list(model[0].parameters()), [p for part in model[1:] for p in part.parameters()]]
                groups = [{"params": part, "lr": rate} for part, rate in zip(split, rates, strict=True)]
                optimizer = torch.optim.SGD(groups, momentum=0.5)
            else:
                optimizer = student.two_rates(model, "SGD", list(rates))
            self.sides.append((model, optimizer, *loaders))
        self.theirs, self.ours = self.sides[0][0], self.sides[1][0]

    def run(self, reference, epochs, patience, mode="train"):
        """Both histories, after both have trained."""
        theirs = self.student.value("torch").nn.Module
        got = self.student.fine_tune(*self.sides[0], epochs, patience, getattr(theirs, mode))
        expected = reference.fine_tune(*self.sides[1], epochs, patience, getattr(torch.nn.Module, mode))
        if not isinstance(got, dict) or not {"train_loss", "val_loss", "best_epoch"} <= set(got):
            fail("fine_tune should return a dict with train_loss, val_loss and best_epoch.", value=got)
        return got, expected

    def check_state(self, what, hint=""):
        """Both models have the same parameters and buffers."""
        expected = {name: value.numpy() for name, value in self.ours.state_dict().items()}
        got = state_of(self.student, self.theirs)
        assert_close(got, expected, rtol=1e-5, atol=1e-7, what=what, hint=hint)


GIVEN = ["plateau_rates"]


@pytest.mark.question("fine_tune", weight=3, given=GIVEN)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_fine_tune_steps(student, reference, rng, mode):
    """The model ends with the weights of its best epoch, each group trained with its own rate."""
    for epochs in (1, 4):
        task = Task(student, rng)
        task.run(reference, epochs, 9, mode)
        hint = "For each batch one step; the best epoch's weights in the end."
        task.check_state(f"the model after up to {epochs} epochs in {mode} mode", hint)


@pytest.mark.question("fine_tune", weight=2, given=GIVEN)
def test_fine_tune_history(student, reference, rng):
    """The mean losses over examples: in training before each step, in validation in eval mode."""
    for N, num_val in ((10, 7), (8, 4), (6, 9)):
        task = Task(student, rng, N=N, num_val=num_val)
        got, expected = task.run(reference, 3, 9)
        hint = "Weight each batch with its number of examples; the last one is short."
        for name in ("train_loss", "val_loss"):
            assert_close(got[name], expected[name], rtol=1e-6, what=f'history["{name}"]', hint=hint)
        assert_close(got["best_epoch"], expected["best_epoch"], what='history["best_epoch"]')


@pytest.mark.question("fine_tune", weight=3, given=GIVEN)
def test_fine_tune_frozen(student, reference, rng):
    """What is frozen stays as it is, bit for bit, running averages included, and the rest moves."""
    task = Task(student, rng, frozen=["0"])
    before = state_of(student, task.theirs)
    got, _ = task.run(reference, 3, 9, "eval")
    after = state_of(student, task.theirs)
    for name, value in before.items():
        if name.startswith("0."):
            assert_close(after[name], value, rtol=0, atol=0, what=f"{name}, which is frozen and in eval mode")
    task.check_state("the model", "mode(model) before each epoch of training.")
    if got["best_epoch"] is not None and all(
        np.array_equal(after[n], before[n]) for n in ("1.weight", "3.weight")
    ):
        fail("Nothing has moved that should have been trained.")


@pytest.mark.question("fine_tune", weight=2, given=GIVEN)
def test_fine_tune_modes(student, reference, rng):
    """mode(model) is called in every epoch; dropout drops in training, and in no validation."""

    def make(nn):
        return nn.Sequential(
            nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), nn.Dropout(1.0), nn.Linear(3, K), nn.Identity()
        ).double()

    task = Task(student, rng, make=make)
    before = state_of(student, task.theirs)
    got, expected = task.run(reference, 3, 9, "train")
    hint = "mode(model) before each epoch, model.eval() before each validation."
    after = state_of(student, task.theirs)
    assert_close(
        after["2.weight"],
        before["2.weight"],
        rtol=0,
        atol=0,
        what="weights behind a dropout of everything",
        hint=hint,
    )
    assert_close(got["val_loss"], expected["val_loss"], rtol=1e-6, what='history["val_loss"]', hint=hint)
    assert_close(
        got["train_loss"], expected["train_loss"], rtol=1e-6, what='history["train_loss"]', hint=hint
    )


def one_number(student, x_val, start=0.0, rate=1.0):
    """A model of which only the two biases change: they move apart in every epoch. The labels of the
    validation examples decide how far is best.

    The inputs are 0, so that the logits are the biases (a, b), and the gradient of the weights is 0. The
    label in training is 0: the gradient is (-p, p), where p is the probability of class 1.
    """
    there = student.value("torch")
    model = there.nn.Sequential(there.nn.Linear(1, 2)).double()
    model.load_state_dict(
        {"0.weight": torch.zeros(2, 1).double(), "0.bias": torch.tensor([start, 0.0]).double()}
    )
    optimizer = there.optim.SGD(model.parameters(), lr=rate)
    data = there.utils.data
    train = data.DataLoader(
        data.TensorDataset(torch.zeros(2, 1).double(), torch.tensor([0, 0])), batch_size=2
    )
    labels = torch.tensor(x_val)
    val = data.DataLoader(data.TensorDataset(torch.zeros(len(labels), 1).double(), labels), batch_size=3)
    return model, optimizer, train, val


def climb(epochs, patience, labels, start, rate):
    """The losses, the best epoch and the bias in the end, in plain arithmetic."""
    a, b = start, 0.0
    share = float(np.mean(np.asarray(labels) == 0))
    losses, biases, lowest_, best, waited, plateau, factor = [], [], math.inf, None, 0, 0, 1.0
    for epoch in range(epochs):
        p = 1 / (1 + math.exp(a - b))
        a, b = a + rate * factor * p, b - rate * factor * p
        loss = share * math.log1p(math.exp(b - a)) + (1 - share) * math.log1p(math.exp(a - b))
        losses.append(loss)
        biases.append((a, b))
        waited, plateau = waited + 1, plateau + 1
        if loss < lowest_:
            lowest_, best, waited, plateau = loss, epoch, 0, 0
        if plateau == 2:
            factor, plateau = factor * 0.3, 0
        if waited >= patience:
            break
    return losses, best, biases[best] if best is not None else (start, 0.0)


@pytest.mark.question("fine_tune", weight=3, given=GIVEN)
def test_fine_tune_patience(student, rng):
    """It stops after `patience` epochs without a lower loss, neither earlier nor later; with rates of 0
    all losses are equal, and the first is the best.
    """
    labels = [0, 0, 0, 0, 1]  # best where the probability of class 0 is 4/5
    for patience, scale in ((1, 1.0), (2, 1.0), (3, 1.0), (5, 1.0), (2, 0.0)):
        start, rate = float(rng.uniform(-1, 0)), float(rng.uniform(0.5, 0.7)) * scale
        task = one_number(student, labels, start, rate)
        history = student.fine_tune(*task, 20, patience, student.value("torch").nn.Module.eval)
        losses, best, bias = climb(20, patience, labels, start, rate)
        hint = f"The best epoch is {best}, so with a patience of {patience} there are {len(losses)} epochs."
        assert_close(len(history["val_loss"]), len(losses), what="the number of epochs", hint=hint)
        assert_close(
            history["val_loss"], losses, rtol=1e-6, what='history["val_loss"]', hint="Falling rates, too."
        )
        assert_close(history["best_epoch"], best, what='history["best_epoch"]', hint=hint)
        hint = "Copy the state when the loss is the lowest so far, and load the copy in the end."
        assert_close(
            state_of(student, task[0])["0.bias"],
            np.array(bias),
            rtol=1e-6,
            what="the biases in the end",
            hint=hint,
        )


@pytest.mark.question("fine_tune", weight=3, given=GIVEN)
def test_fine_tune_rates(student, reference, rng):
    """On a plateau the rates of all groups fall by the same factor, and keep their ratio."""
    for rates in ((0.05, 0.01), (0.002, 0.2)):
        # The validation examples are the training examples with other labels: its loss rises.
        task = Task(student, rng, rates=rates, wrong=True)
        got, expected = task.run(reference, 9, 20, "eval")
        hint = "The rate that each group had at the beginning, times the last of plateau_rates(losses, 1.0)."
        for name in ("train_loss", "val_loss"):
            what = f'history["{name}"] with falling rates'
            assert_close(got[name], expected[name], rtol=1e-6, what=what, hint=hint)
        task.check_state("the model in the end")


@pytest.mark.question("fine_tune", given=GIVEN)
def test_fine_tune_nan(student, reference, rng):
    """A validation loss of NaN is never the best; where there is no other, the first weights come back."""
    nan = torch.full((3, 2, 2), math.nan).double()
    task = Task(student, rng, val=(nan, torch.tensor([0, 1, 2])))
    before = state_of(student, task.theirs)
    got, _ = task.run(reference, 6, 2, "eval")
    assert_close(len(got["val_loss"]), 2, what="the number of epochs with a patience of 2")
    assert_close(got["best_epoch"], None, what='history["best_epoch"]')
    for name, value in state_of(student, task.theirs).items():
        assert_close(value, before[name], rtol=0, atol=0, what=f"{name} in the end")


# --- confusion_matrix
@pytest.mark.question("confusion_matrix", weight=2)
def test_confusion_matrix_values(student, rng):
    """Counts with the true class as row, also where classes do not occur."""
    for N, classes, occur in ((40, 5, 5), (1, 3, 2), (200, 2, 2), (6, 9, 8)):
        y, p = rng.integers(0, occur, size=N), rng.integers(0, max(1, classes - 1), size=N)
        expected = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(expected, (y, p), 1)
        got = assert_unchanged(student.confusion_matrix, torch.tensor(y), torch.tensor(p), classes)
        assert_close(
            got,
            expected,
            what=f"the matrix of {N} examples and {classes} classes",
            hint="Rows: true classes.",
        )
        if not isinstance(got, torch.Tensor) or got.is_floating_point():
            fail("An int64 tensor was expected.", value=got)


# --- grad_cam
def camera(nn):
    """Two convolutions with batch normalisation and dropout between, and a head that looks at places."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 3, 3, 1, 1), nn.BatchNorm2d(3), nn.Tanh()),
        nn.Dropout(0.5), nn.Conv2d(3, 4, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 3 * 4, K),
    ).double()  # fmt: skip


def map_of(model, layer, picture, label):
    """The definition, with the layer's output as a leaf."""
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(lambda m, i, out: kept.append(out))
    logits = model.eval()(picture[None].clone().requires_grad_())
    handle.remove()
    (slope,) = torch.autograd.grad(logits[0, label], kept[0])
    raw = torch.einsum("c,chw->hw", slope[0].mean(dim=(1, 2)), kept[0][0]).clamp(min=0).detach()
    return (raw / raw.max() if raw.max() > 0 else raw).numpy()


HINT = (
    "alpha: the mean gradient of the logit over the places; max(0, sum of alpha times A), over its maximum."
)


@pytest.mark.question("grad_cam", weight=4)
def test_grad_cam_values(student, rng):
    """The maps of two layers, for each class, of a network in either mode."""
    theirs, ours = networks(student, rng, camera)
    for mode in (True, False):
        theirs.train(mode)
        picture = normal(rng, 2, 4, 5)
        for layer in ("0", "0.0", "2", "3"):
            for label in range(K):
                student.value("torch").manual_seed(0)  # what dropout would drop
                got = assert_unchanged(student.grad_cam, theirs, layer, picture, label)
                expected = map_of(ours, layer, picture, label)
                what = f"the map at layer {layer!r} for class {label}"
                assert_close(got, expected, rtol=1e-6, atol=1e-8, what=what, hint=HINT)


@pytest.mark.question("grad_cam", weight=2)
def test_grad_cam_frozen(student, rng):
    """It works where every parameter is frozen, and leaves all as it was: modes, hooks, gradients."""
    theirs, ours = networks(student, rng, camera)
    theirs.requires_grad_(False)
    theirs.train(True)
    theirs.get_submodule("0.1").training = False
    before, modes = (
        state_of(student, theirs),
        [int(m.training) for m in student.builtin("list", theirs.modules())],
    )
    picture = normal(rng, 2, 4, 5)
    student.value("torch").manual_seed(0)
    got = student.grad_cam(theirs, "0", picture, 1)
    hint = "picture[None].clone().requires_grad_() makes a record where no parameter does."
    assert_close(
        got,
        map_of(ours, "0", picture, 1),
        rtol=1e-6,
        atol=1e-8,
        what="the map of a frozen network",
        hint=hint,
    )
    modules = student.builtin("list", theirs.modules())
    assert_close([int(m.training) for m in modules], modes, what="the modes of the modules (1: training)")
    hooks = sum(
        student.builtin("len", m._forward_hooks) + student.builtin("len", m._backward_hooks) for m in modules
    )
    assert_close(hooks, 0, what="the number of hooks left", hint="handle.remove()")
    flags = [int(each.requires_grad) for each in student.builtin("list", theirs.parameters())]
    assert_close(flags, [0] * len(flags), what="what is trainable (1) afterwards")
    for name, value in before.items():
        assert_close(state_of(student, theirs)[name], value, rtol=0, atol=0, what=f"{name} afterwards")


@pytest.mark.question("grad_cam")
def test_grad_cam_gradients(student, rng):
    """The gradients that the parameters hold are not touched, and the map holds no record."""
    theirs, _ = networks(student, rng, camera)
    before = state_of(student, theirs)
    optimizer = student.value("torch").optim.SGD(theirs.parameters(), lr=1.0)
    student.value("torch").manual_seed(0)
    got = student.grad_cam(theirs, "0", normal(rng, 2, 4, 5), 0)
    if not isinstance(got, torch.Tensor) or got.requires_grad:
        fail("A tensor without a record for a backward pass was expected.", value=got)
    optimizer.step()
    for name, value in state_of(student, theirs).items():
        what = f"{name} after a step with the gradients that grad_cam left behind"
        hint = "torch.autograd.grad(z, A) computes a gradient, and keeps none in the parameters."
        assert_close(value, before[name], rtol=0, atol=0, what=what, hint=hint)
    flags = [int(each.requires_grad) for each in student.builtin("list", theirs.parameters())]
    assert_close(flags, [1] * len(flags), what="what is trainable (1) afterwards")


@pytest.mark.question("grad_cam")
def test_grad_cam_nothing(student, rng):
    """Where nothing speaks for the class the map is 0 everywhere, and not NaN."""
    there = student.value("torch").nn
    model = there.Sequential(
        there.Conv2d(1, 1, 1, bias=False), there.Flatten(), there.Linear(6, 2, bias=False)
    ).double()
    model.load_state_dict(
        {"0.weight": torch.ones(1, 1, 1, 1).double(), "2.weight": -torch.ones(2, 6).double()}
    )
    picture = torch.tensor(rng.uniform(0.1, 1, size=(1, 2, 3)))
    assert_close(
        student.grad_cam(model, "0", picture, 1), np.zeros((2, 3)), what="the map", hint="0 / 0 is NaN."
    )
