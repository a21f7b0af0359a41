"""What check("...") runs: small examples worked by hand, and properties that any right answer has.

Models, loaders and optimisers are made beside your functions: `student.value("torch")` is your torch.
"""

import math

import numpy as np
import pytest
import torch

from autograder.checking import assert_close, assert_stable, assert_unchanged, fail


def loader_of(student, *arrays, batch_size):
    """A DataLoader that gives the examples in their order; numbers with a point are float64."""
    data = student.value("torch").utils.data
    tensors = [torch.tensor(np.asarray(array)) for array in arrays]
    return data.DataLoader(data.TensorDataset(*tensors), batch_size=batch_size)


def state_of(student, model):
    """Name -> array: the parameters and buffers of a model."""
    return {name: t.numpy() for name, t in student.builtin("dict", model.state_dict()).items()}


def linear(student, weight, bias):
    """nn.Linear with known weights, in float64."""
    weight, bias = torch.tensor(weight, dtype=torch.float64), torch.tensor(bias, dtype=torch.float64)
    model = student.value("torch").nn.Linear(weight.shape[1], weight.shape[0]).double()
    model.load_state_dict({"weight": weight, "bias": bias})
    return model


# --- data
@pytest.mark.question("image_dataset")
def test_image_dataset(student):
    """Two images come out standardised, with an axis for the channel and their labels."""
    images, labels = np.array([[[0, 2, 4], [6, 8, 10]], [[1, 1, 1], [3, 3, 3]]]), np.array([7, 2])
    dataset = student.ImageDataset(images, labels, 2.0, 4.0)
    assert_close(student.builtin("len", dataset), 2, what="len(dataset)")
    image, label = student.builtin("getitem", dataset, 1)
    expected = np.array([[[-0.25, -0.25, -0.25], [0.25, 0.25, 0.25]]])
    assert_close(image, expected, what="the image", hint="(x - mean) / std, of shape (1, H, W).")
    assert_close(int(label), 2, what="the label")


@pytest.mark.question("image_dataset")
def test_image_dataset_types(student):
    """A DataLoader makes float32 images (N, 1, H, W) and int64 labels (N,) of it."""
    dataset = student.ImageDataset(np.ones((3, 4, 5)), np.array([0, 1, 2]))
    ((images, labels),) = student.builtin("list", student.value("torch").utils.data.DataLoader(dataset, 3))
    assert_close(list(images.shape), [3, 1, 4, 5], what="the shape of the images")
    assert_close(str(images.dtype), "torch.float32", what="the dtype of the images")
    assert_close(str(labels.dtype), "torch.int64", what="the dtype of the labels")


def examples(student, loader):
    """The examples of each batch of one epoch: a list of lists of numbers."""
    return [batch[0].tolist() for batch in student.builtin("list", loader)]


@pytest.mark.question("make_loaders")
def test_make_loaders(student):
    """Ten examples: seven to train on, in batches of 3, 3 and 1, and three others for validation."""
    data = student.value("torch").utils.data
    loaders = student.make_loaders.keeping(0, 1)(data.TensorDataset(torch.arange(10)), 3, 3, 0)
    train, val = (examples(student, loader) for loader in loaders)
    assert_close([len(batch) for batch in train], [3, 3, 1], what="the sizes of the training batches")
    assert_close([len(batch) for batch in val], [3], what="the sizes of the validation batches")
    together = sorted(example for batch in [*train, *val] for example in batch)
    hint = "Split a random permutation of the indices; torch.utils.data.Subset takes indices."
    assert_close(together, list(range(10)), what="all examples together", hint=hint)
    if examples(student, loaders[0]) == train == examples(student, loaders[0]):
        fail("Three epochs have the same order.", hint="shuffle=True, for the training part.")
    assert_close(examples(student, loaders[1]), val, what="the validation examples in a second epoch")


@pytest.mark.question("make_loaders")
def test_make_loaders_seed(student):
    """The same seed gives the same split and the same batches, whatever else draws random numbers."""
    there = student.value("torch")
    dataset = there.utils.data.TensorDataset(torch.arange(12))
    seen = []
    for other in (1, 2):
        there.manual_seed(other)
        train, val = student.make_loaders.keeping(0, 1)(dataset, 4, 4, 9)
        there.manual_seed(10 * other)
        seen.append([examples(student, train), examples(student, train), examples(student, val)])
    hint = "Give randperm and DataLoader a torch.Generator of your own: generator=..."
    assert_close(seen[1], seen[0], what="the batches of two epochs, and the validation batches", hint=hint)


# --- losses and the network
@pytest.mark.question("binary_loss")
def test_binary_loss(student):
    """Logits 0 and log 3 are the probabilities 1/2 and 3/4."""
    logits = torch.tensor([[0.0], [math.log(3)], [math.log(3)]], dtype=torch.float64)
    loss = student.binary_loss(logits, torch.tensor([1, 1, 0]))
    expected = -(math.log(1 / 2) + math.log(3 / 4) + math.log(1 / 4)) / 3
    hint = "logits have the shape (N, 1) and labels (N,): bring both to (N,) first, or they broadcast."
    assert_close(loss, expected, what="the loss", hint=hint)


@pytest.mark.question("binary_loss")
def test_binary_loss_large(student):
    """A logit of -1000 for a one costs 1000, and no infinity."""
    logits = torch.tensor([[-1000.0], [1000.0]], dtype=torch.float64)
    assert_stable(student.binary_loss(logits, torch.tensor([1, 1])), 500.0, what="the loss")


@pytest.mark.question("num_correct")
def test_num_correct(student):
    """Three of four answers of three classes are right, and two of three with one logit."""
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.5, 0.2], [-3.0, -2.0, -1.0], [1.0, 0.0, 0.0]])
    assert_close(student.num_correct(logits, torch.tensor([0, 1, 2, 1])), 3, what="num_correct")
    logits = torch.tensor([[0.2], [-0.4], [3.0]])
    hint = "With one logit the answer is class 1 where the logit is positive."
    assert_close(student.num_correct(logits, torch.tensor([1, 0, 0])), 2, what="num_correct", hint=hint)


@pytest.mark.question("build_mlp")
def test_build_mlp(student):
    """A network for images of 2 x 3 pixels has the right parameters and gives logits."""
    model = student.build_mlp((6, 5, 4, 3))
    sizes = sorted(value.size for value in state_of(student, model).values())
    hint = "A weight and a bias for each of three linear layers."
    assert_close(sizes, sorted([30, 5, 20, 4, 12, 3]), what="the sizes of the parameters", hint=hint)
    out = model(torch.zeros(7, 1, 2, 3))
    assert_close(list(out.shape), [7, 3], what="the shape of the output")


@pytest.mark.question("build_mlp")
def test_build_mlp_dropout(student):
    """Two passes in training mode differ, two in eval mode do not."""
    model = student.build_mlp((4, 50, 2), 0.5)
    x = torch.ones(3, 4)
    model.train(True)
    first, second = model(x), model(x)
    if torch.equal(first, second):
        fail("Two passes in training mode give the same.", hint="nn.Dropout(dropout) after each ReLU.")
    model.train(False)
    assert_close(model(x), model(x).detach().numpy(), rtol=0, atol=0, what="a second pass in eval mode")


# --- loops
@pytest.mark.question("train_epoch")
def test_train_epoch(student):
    """Two steps of plain gradient descent, worked by hand; the second batch holds a single example."""
    model = linear(student, [[1.0]], [0.0])
    there = student.value("torch")
    loader = loader_of(student, [[1.0], [3.0], [2.0]], [[0.0], [1.0], [1.0]], batch_size=2)
    optimizer = there.optim.SGD(model.parameters(), lr=0.1)
    loss = student.train_epoch(model, loader, there.nn.MSELoss(), optimizer)
    # The errors of the first batch are 1 and 2: dw = 2 (1 * 1 + 2 * 3) / 2 = 7, db = 2 (1 + 2) / 2 = 3.
    w, b = 1 - 0.7, -0.3
    error = 2 * w + b - 1
    first, second = (1 + 4) / 2, error**2
    w, b = w - 0.1 * 2 * error * 2, b - 0.1 * 2 * error
    state = state_of(student, model)
    hint = "zero_grad, backward, step: once for each batch, in this order."
    assert_close(state["weight"], np.array([[w]]), what="the weight", hint=hint)
    assert_close(state["bias"], np.array([b]), what="the bias", hint=hint)
    hint = "The first batch has two examples and counts twice."
    assert_close(loss, (2 * first + second) / 3, what="the mean loss", hint=hint)


@pytest.mark.question("train_epoch")
def test_train_epoch_mode(student):
    """Dropout drops, although the model came in eval mode."""
    there = student.value("torch")
    layer = linear(student, [[1.0, -1.0]], [0.5])
    model = there.nn.Sequential(there.nn.Dropout(1.0), layer)  # drops everything
    model.train(False)
    loader = loader_of(student, [[1.0, 2.0], [0.0, 1.0]], [[3.0], [1.0]], batch_size=1)
    optimizer = there.optim.SGD(model.parameters(), lr=0.1)
    student.train_epoch(model, loader, there.nn.MSELoss(), optimizer)
    state = state_of(student, layer)
    hint = "Call model.train() first."
    assert_close(state["weight"], np.array([[1.0, -1.0]]), what="weights that see only zeros", hint=hint)
    if state["bias"][0] == 0.5:
        fail("The bias has not moved.", hint="optimizer.step() after each backward pass.")


@pytest.mark.question("evaluate", given=["num_correct"])
def test_evaluate(student):
    """Mean loss and accuracy of three examples, in batches of two and one."""
    model = linear(student, [[1.0], [-1.0]], [0.0, 0.0])
    loader = loader_of(student, np.array([[1.0], [2.0], [-1.0]]), [0, 1, 0], batch_size=2)
    loss, accuracy = student.evaluate(model, loader, student.value("torch").nn.CrossEntropyLoss())
    costs = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(4)), math.log(1 + math.exp(2))]
    hint = "Each batch counts as many times as it has examples."
    assert_close(loss, sum(costs) / 3, what="the loss", hint=hint)
    assert_close(accuracy, 1 / 3, what="the accuracy")


@pytest.mark.question("evaluate", given=["num_correct"])
def test_evaluate_mode(student):
    """Nothing is dropped and nothing is learned, although the model came in training mode."""
    there = student.value("torch")
    model = there.nn.Sequential(there.nn.Dropout(1.0), there.nn.BatchNorm1d(2, momentum=0.5)).double()
    model.train(True)
    before = state_of(student, model)
    loader = loader_of(student, np.array([[3.0, 1.0], [0.0, 2.0], [5.0, 1.0]]), [0, 1, 0], batch_size=3)
    _, accuracy = student.evaluate(model, loader, there.nn.CrossEntropyLoss())
    assert_close(accuracy, 1.0, what="the accuracy", hint="Call model.eval() first.")
    assert_close(state_of(student, model), before, rtol=0, atol=0, what="the state of the model")


@pytest.mark.question("warmup_cosine")
def test_warmup_cosine(student):
    """Two epochs up, four down."""
    rates = student.warmup_cosine(6, 2, 0.8)
    cosine = [0.8 * (1 + math.cos(math.pi * part / 4)) / 2 for part in range(4)]
    assert_close(np.asarray(rates), np.array([0.4, 0.8, *cosine]), what="the rates")
    # half way between 0.8 and 0.2 in the middle of the fall
    assert_close(student.warmup_cosine(4, 0, 0.8, 0.2)[2], 0.5, what="the rate in the middle of the fall")


def rehearse(student, val_losses, patience, rates=None):
    """History, first weight and Rehearsal after a fit in which nothing is trained."""
    there = student.value("torch")
    model = there.nn.Linear(1, 1)
    optimizer = there.optim.SGD(model.parameters(), lr=9.0)
    train_losses = [1 / (1 + epoch) for epoch in range(len(val_losses))]
    rehearsal = student.Rehearsal(model, optimizer, train_losses, val_losses)
    rates = [0.1] * len(val_losses) if rates is None else rates
    history = student.fit(model, optimizer, rehearsal.run_epoch, rehearsal.validate, rates, patience)
    if not isinstance(history, dict):
        fail("fit should return a dict.", value=history)
    return history, float(state_of(student, model)["weight"][0, 0]), rehearsal


@pytest.mark.question("fit")
def test_fit(student):
    """After losses 5, 3, 4, 4.5 and a patience of 2 it stops, and the weights are those of epoch 1."""
    history, weight, _ = rehearse(student, [5.0, 3.0, 4.0, 4.5, 1.0], patience=2)
    assert_close(history.get("val_loss"), [5.0, 3.0, 4.0, 4.5], what='history["val_loss"]')
    assert_close(history.get("train_loss"), [1, 1 / 2, 1 / 3, 1 / 4], what='history["train_loss"]')
    assert_close(history.get("val_accuracy"), [1 / 2, 1 / 3, 1 / 4, 1 / 5], what='history["val_accuracy"]')
    assert_close(history.get("best_epoch"), 1, what='history["best_epoch"]')
    hint = "Keep a copy (copy.deepcopy) of model.state_dict(), and load it at the end."
    assert_close(weight, 1.0, what="the weight, which is the number of the epoch", hint=hint)


@pytest.mark.question("fit")
def test_fit_rates(student):
    """Each epoch runs with its own learning rate, and there are as many epochs as rates."""
    rates = [0.5, 0.25, 0.125]
    history, _, rehearsal = rehearse(student, [3.0, 2.0, 1.0, 0.5], patience=5, rates=rates)
    hint = 'Set group["lr"] of each group in optimizer.param_groups before the epoch runs.'
    assert_close(rehearsal.rates, [[rate] for rate in rates], what="the rates of the epochs", hint=hint)
    assert_close(len(history["val_loss"]), 3, what="the number of epochs")


@pytest.mark.question("random_configs")
def test_random_configs(student):
    """Values lie in their ranges; half of the rates are below the geometric mean of the bounds."""
    space = {"rate": ("log", 1e-4, 1.0), "dropout": ("uniform", 0.2, 0.6), "layers": [1, 2]}
    configs = assert_unchanged(student.random_configs, space, 400, 3)
    if not isinstance(configs, list) or not all(isinstance(each, dict) for each in configs):
        fail("random_configs should return a list of dicts.", value=configs)
    assert_close(len(configs), 400, what="the number of settings")
    rates, dropouts = (np.array([each[name] for each in configs]) for name in ("rate", "dropout"))
    if rates.min() < 1e-4 or rates.max() > 1 or dropouts.min() < 0.2 or dropouts.max() > 0.6:
        fail("Some values lie outside of their range.")
    below = float(np.mean(rates < 1e-2))
    if not 0.35 < below < 0.65:
        hint = "Draw the logarithm evenly, then take exp."
        fail(f"{below:.0%} of the rates are below 0.01, and about half should be.", hint=hint)
    if {each["layers"] for each in configs} != {1, 2}:
        fail("Of a list, each element should come up.")


# --- your own
@pytest.mark.question("digit_classifier")
def test_digit_classifier(student, data):
    """It learns most of 300 hands that show three signs, and its parameters are counted."""
    hands = data("gestures", digits=(0, 4, 9), size=20, num_train=300, num_test=10)
    model = student.digit_classifier(hands.x_train, hands.y_train, 0)
    model.train(False)
    logits = model(torch.tensor(hands.x_train[:, None]))
    assert_close(list(logits.shape), [300, 3], what="the shape of the logits")
    accuracy = float(np.mean(logits.detach().numpy().argmax(axis=1) == hands.y_train))
    if accuracy < 0.8:
        fail(f"Only {accuracy:.0%} of the hands it was trained on are right.", expected="at least 80%")
    count = sum(parameter.numel() for parameter in student.builtin("list", model.parameters()))
    if count > 200_000:
        fail(f"The model has {count:,} parameters.", expected="at most 200,000")
