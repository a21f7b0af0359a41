"""An epoch of training, and measuring.

Model, loader, loss and optimiser are torch's own, once beside the student's code and once here, from the same
weights; then the student's function and the solution's do the same work, in float64.
"""

import numpy as np
import pytest
import torch

from autograder.checking import assert_accuracy, assert_close, disguise, fail

D, K = 5, 3


def loader_of(there, x, y, batch_size):
    """The examples in their order."""
    data = there.utils.data
    return data.DataLoader(data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y)), batch_size=batch_size)


def network(there):
    """Linear, batch normalisation, ReLU, linear."""
    nn = there.nn
    return nn.Sequential(nn.Linear(D, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, K)).double()


def states(student, ours, theirs):
    """(theirs, ours): name -> array, the parameters and buffers of the two models."""
    got = {name: value.numpy() for name, value in student.builtin("dict", theirs.state_dict()).items()}
    return got, {name: value.numpy().copy() for name, value in ours.state_dict().items()}


def draw(rng, N):
    """Examples (N, D) and labels (N,)."""
    return torch.tensor(rng.normal(size=(N, D))), torch.tensor(rng.integers(0, K, size=N))


def in_both(student, rng, make):
    """What `make` makes of torch beside the student's code and of torch here: (theirs, ours).

    make(torch) gives a model and whatever else; the two models get the same random parameters.
    """
    ours, theirs = make(torch), make(student.value("torch"))
    state = ours[0].state_dict()
    for name, parameter in ours[0].named_parameters():
        state[name] = torch.tensor(rng.normal(scale=0.5, size=tuple(parameter.shape)))
    ours[0].load_state_dict(state)
    theirs[0].load_state_dict(dict(state))
    # What the student's function draws must not depend on what was drawn here, where torch may be the same.
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    return theirs, ours


OPTIMISERS = {
    "plain gradient descent": lambda optim, parameters: optim.SGD(parameters, lr=0.2),
    "momentum": lambda optim, parameters: optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda optim, parameters: optim.Adam(parameters, lr=0.05),
}


@pytest.mark.question("train_epoch", weight=3)
@pytest.mark.parametrize("name", OPTIMISERS)
def test_train_epoch_steps(student, reference, rng, name):
    """Two epochs make one step for each batch, each from the gradients of its own batch alone."""
    x, y = draw(rng, 11)

    def make(torch):
        model = network(torch)
        optimiser = OPTIMISERS[name](torch.optim, model.parameters())
        return model, loader_of(torch, x, y, 4), torch.nn.functional.cross_entropy, optimiser

    theirs, ours = in_both(student, rng, make)
    hint = "For each batch: zero_grad, backward, step. Gradients add up until they are set to zero."
    for epoch in (1, 2):
        student.train_epoch(*theirs)
        reference.train_epoch(*ours)
        got, expected = states(student, ours[0], theirs[0])
        assert_close(got, expected, what=f"the model after {epoch} epochs with {name}", hint=hint)


@pytest.mark.question("train_epoch", weight=2)
def test_train_epoch_loss(student, reference, rng):
    """What is returned is the mean loss over examples, also where the last batch is short."""
    for N, batch_size in ((9, 4), (8, 4), (5, 8), (13, 12)):
        x, y = draw(rng, N)

        def make(torch, x=x, y=y, batch_size=batch_size):
            model = torch.nn.Linear(D, K).double()
            optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
            return model, loader_of(torch, x, y, batch_size), torch.nn.functional.cross_entropy, optimiser

        theirs, ours = in_both(student, rng, make)
        hint = "Weight each batch's loss with its number of examples, and divide by all of them."
        what = f"the loss of {N} examples in batches of {batch_size}"
        assert_close(student.train_epoch(*theirs), reference.train_epoch(*ours), what=what, hint=hint)


@pytest.mark.question("train_epoch")
def test_train_epoch_any_loss(student, reference, rng):
    """Any loss will do: here squared errors of targets that are not labels."""
    x, y = torch.tensor(rng.normal(size=(7, D))), torch.tensor(rng.normal(size=(7, 2)))

    def make(torch):
        model = torch.nn.Linear(D, 2).double()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        return model, loader_of(torch, x, y, 3), torch.nn.MSELoss(), optimiser

    theirs, ours = in_both(student, rng, make)
    assert_close(student.train_epoch(*theirs), reference.train_epoch(*ours), what="the loss")
    got, expected = states(student, ours[0], theirs[0])
    assert_close(got, expected, what="the model after an epoch")


@pytest.mark.question("train_epoch", weight=2)
def test_train_epoch_mode(student, rng):
    """Dropout and batch normalisation are in training mode, whatever mode the model came in."""
    there = student.value("torch")
    nn = there.nn
    for mode in (False, True):
        model = nn.Sequential(nn.BatchNorm1d(D, affine=False), nn.Dropout(1.0), nn.Linear(D, K)).double()
        before = student.builtin("dict", model.state_dict())
        model.train(mode)
        x, y = draw(rng, 9)
        optimiser = there.optim.SGD(model.parameters(), lr=0.5)
        loader = loader_of(there, x, y, 3)
        for epoch in (1, 2):
            student.train_epoch(model, loader, nn.functional.cross_entropy, optimiser)
            if epoch == 1:
                model.train(mode)  # as an evaluation in between would leave it
        after = student.builtin("dict", model.state_dict())
        hint = "model.train() at the beginning of train_epoch."
        what = "the weights behind a dropout of everything"
        assert_close(after["2.weight"], before["2.weight"].numpy(), rtol=0, atol=0, what=what, hint=hint)
        assert_close(after["0.num_batches_tracked"], 6, what="the batches that were normalised", hint=hint)
        if torch.equal(after["2.bias"], before["2.bias"]):
            fail("The biases have not moved.", hint="optimizer.step() after each backward pass.")


@pytest.mark.question("train_epoch")
def test_train_epoch_frozen(student, reference, rng):
    """What is frozen, or not handed to the optimiser, stays as it is bit for bit; all else moves."""
    x, y = draw(rng, 10)

    def make(torch):
        model = network(torch)
        model.get_submodule("0").requires_grad_(False)
        rest = [{"params": model.get_submodule(name).parameters()} for name in "01"]
        return (
            model,
            loader_of(torch, x, y, 5),
            torch.nn.functional.cross_entropy,
            torch.optim.SGD(rest, lr=0.4, momentum=0.5),
        )

    theirs, ours = in_both(student, rng, make)
    before = {name: value.numpy().copy() for name, value in ours[0].state_dict().items()}
    student.train_epoch(*theirs)
    reference.train_epoch(*ours)
    got, expected = states(student, ours[0], theirs[0])
    for name in ("0.weight", "0.bias", "3.weight", "3.bias"):
        hint = "The optimizer alone changes parameters."
        assert_close(got[name], before[name], rtol=0, atol=0, what=f"the frozen {name}", hint=hint)
    assert_close(got, expected, what="the model after an epoch")


@pytest.mark.question("train_epoch")
def test_train_epoch_each_example_once(student, rng):
    """Every example of the loader is used exactly once with its own label, and no other."""
    N, unseen = 7, [3, 8]
    there = student.value("torch")
    # A table with a row of its own for each example: only the rows of examples that were used can move.
    seen = rng.permutation([i for i in range(N + 2) if i not in unseen])
    labels = torch.tensor(rng.integers(0, K, size=N))
    table = there.nn.Embedding(N + 2, K).double()
    table.load_state_dict({"weight": torch.zeros(N + 2, K, dtype=torch.float64)})
    optimiser = there.optim.SGD(table.parameters(), lr=1.0)
    student.train_epoch(
        table, loader_of(there, seen, labels, 3), there.nn.functional.cross_entropy, optimiser
    )
    rows = student.builtin("dict", table.state_dict())["weight"].numpy()
    expected = np.zeros((N + 2, K))
    for start in (0, 3, 6):
        for i, label in zip(seen[start : start + 3], labels[start : start + 3], strict=True):
            expected[i] = (np.eye(K)[int(label)] - 1 / K) / min(3, N - start)
    hint = "One step for each batch of the loader, and each batch once."
    assert_close(rows, expected, what="the rows of all examples", hint=hint)


@pytest.mark.question("train_epoch", weight=2)
def test_train_epoch_learns(student, rng, data):
    """Some epochs with Adam teach a network to tell two signs apart, on hands that it has not seen."""
    hands = data("gestures", digits=(0, 5), size=16, num_train=400, num_test=200)
    x, y, classes = disguise(hands.x_train, hands.y_train, rng, shift=1)
    x_test, y_test, _ = disguise(hands.x_test, hands.y_test, rng, shift=1, permutation=classes)
    mean, std = x.mean(), x.std()
    x, x_test = (torch.tensor((images - mean) / std).float() for images in (x, x_test))
    there = student.value("torch")
    nn = there.nn
    there.manual_seed(int(rng.integers(2**31)))
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 2))
    optimiser = there.optim.Adam(model.parameters(), lr=2e-3)
    loader = loader_of(there, x, y, 20)
    for _ in range(5):
        student.train_epoch(model, loader, nn.functional.cross_entropy, optimiser)
    model.eval()
    predictions = model(x_test).detach().numpy().argmax(axis=1)
    assert_accuracy(predictions, y_test, 0.75, what="accuracy on unseen hands")


# --- measuring
def measured(result):
    """Loss and accuracy."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("evaluate should return loss and accuracy.", value=result)
    return result


@pytest.mark.question("evaluate", weight=3, given=["num_correct"])
def test_evaluate_values(student, reference, rng):
    """Loss and accuracy are means over examples, also where the last batch is short."""
    for N, batch_size in ((10, 4), (8, 4), (5, 8), (13, 12), (3, 1)):
        x, y = draw(rng, N)

        def make(torch, x=x, y=y, batch_size=batch_size):
            model = torch.nn.Linear(D, K).double()
            return model, loader_of(torch, x, y, batch_size), torch.nn.functional.cross_entropy

        theirs, ours = in_both(student, rng, make)
        loss, accuracy = measured(student.evaluate(*theirs))
        expected = reference.evaluate(*ours)
        hint = "Add up over batches, weighted with their sizes; divide by the number of examples at the end."
        what = f"of {N} examples in batches of {batch_size}"
        assert_close(loss, expected[0], what=f"the loss {what}", hint=hint)
        assert_close(accuracy, expected[1], what=f"the accuracy {what}", hint=hint)


@pytest.mark.question("evaluate", given=["num_correct", "binary_loss"])
def test_evaluate_one_logit(student, rng):
    """A network with one logit is measured as well, with the loss that it is given."""
    x, weight = rng.normal(size=(7, D)), rng.normal(size=(1, D))
    logits = (x @ weight.T)[:, 0]
    y = (logits > 0).astype(np.int64)
    y[:2] = 1 - y[:2]
    model = student.value("torch").nn.Linear(D, 1, bias=False).double()
    model.load_state_dict({"weight": torch.tensor(weight)})
    loader = loader_of(student.value("torch"), x, y, 4)
    loss, accuracy = measured(student.evaluate(model, loader, student.value("binary_loss")))
    assert_close(loss, np.mean(np.logaddexp(0, logits) - y * logits), what="the loss with one logit")
    assert_close(accuracy, 5 / 7, what="the accuracy with one logit", hint="num_correct knows what to do.")


@pytest.mark.question("evaluate", weight=3, given=["num_correct"])
def test_evaluate_mode(student, reference, rng):
    """Dropout and batch normalisation are in eval mode, whatever mode the model came in."""
    x, y = draw(rng, 12)
    for mode in (False, True):

        def make(torch):
            nn = torch.nn
            layers = nn.BatchNorm1d(D), nn.Dropout(0.8), nn.Linear(D, 8), nn.ReLU(), nn.Dropout(0.5)
            model = nn.Sequential(*layers, nn.Linear(8, K)).double()
            return model, loader_of(torch, x, y, 5), nn.functional.cross_entropy

        theirs, ours = in_both(student, rng, make)
        theirs[0].train(mode)
        loss, accuracy = measured(student.evaluate(*theirs))
        expected = reference.evaluate(*ours)
        hint = "model.eval() before the first batch."
        assert_close(loss, expected[0], what="the loss", hint=hint)
        assert_close(accuracy, expected[1], what="the accuracy", hint=hint)


@pytest.mark.question("evaluate", weight=2, given=["num_correct"])
def test_evaluate_changes_nothing(student, rng):
    """Parameters and running averages stay as they are, bit for bit."""
    there = student.value("torch")
    x, y = draw(rng, 9)
    model = network(there)
    # An epoch of its own beforehand, so that there are running averages to be spoiled.
    model.train()
    model(x)
    before = student.builtin("dict", model.state_dict())
    for _ in range(2):
        measured(student.evaluate(model, loader_of(there, x, y, 4), there.nn.functional.cross_entropy))
    after = student.builtin("dict", model.state_dict())
    for name, value in before.items():
        hint = "In training mode batch normalisation updates its running averages."
        assert_close(after[name], value.numpy(), rtol=0, atol=0, what=name, hint=hint)
    parameters = student.builtin("list", model.parameters())
    if not all(parameter.requires_grad for parameter in parameters):
        fail("Parameters do not require gradients any more.", hint="with torch.inference_mode():")
