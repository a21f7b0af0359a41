"""What `check` runs: small examples. Grading asks more, with other numbers and other pictures."""

import numpy as np
import pytest
import torch

from autograder.checking import StudentError, assert_classified, assert_close, assert_unchanged, fail
from autograder.notebook.weights import WeightsError, kind_of

SIZE, MAX_NUMBERS = 32, 100_000
CLASSES = ("fresh apple", "fresh banana", "fresh orange", "rotten apple", "rotten banana", "rotten orange")


@pytest.mark.question("split_indices")
def test_split(student):
    """Each example is in one part, and a fifth of each class is validated with."""
    labels = np.array([0, 1] * 10 + [1] * 20)
    train, val = student.split_indices(labels, 0.2, 0)
    assert_close(np.sort(np.concatenate([train, val])), np.arange(40), what="both parts, sorted")
    assert_close(np.bincount(labels[val]), np.array([2, 6]), what="validation examples of each class")


@pytest.mark.question("channel_statistics")
def test_statistics(student):
    """Mean and standard deviation of three channels, of which each has two values."""
    images = np.zeros((2, 3, 2, 2), np.uint8)
    images[:, :, 0] = np.array([51, 102, 255])[:, None]
    mean, std = student.channel_statistics(images)
    assert_close(mean, np.array([0.1, 0.2, 0.5]), rtol=1e-5, what="mean", hint="As numbers from 0 to 1.")
    assert_close(std, np.array([0.1, 0.2, 0.5]), rtol=0.1, what="std")


@pytest.mark.question("normalize")
def test_normalize(student):
    """Each channel by itself: less its mean, divided by its standard deviation."""
    x = torch.tensor([0.5, 0.6, 0.7]).reshape(1, 3, 1, 1).repeat(2, 1, 2, 3)
    mean, std = torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.1, 0.2, 0.4])
    expected = np.broadcast_to(np.array([0, 0.5, 0.5])[:, None, None], (2, 3, 2, 3))
    assert_close(student.normalize(x, mean, std), expected, rtol=1e-4, atol=1e-6, what="the pictures")


@pytest.mark.question("preprocess")
def test_preprocess(student):
    """Numbers from 0 to 1, and a picture of four colours in any size."""
    x = assert_unchanged(student.preprocess, np.full((2, 3, SIZE, SIZE), 51, np.uint8))
    assert_close(x, np.full((2, 3, SIZE, SIZE), 0.2), rtol=1e-5, what="the tensor")
    large = np.zeros((1, 3, 80, 40), np.uint8)
    large[:, 1, :40] = 255
    x = student.preprocess(large)
    assert_close(list(x.shape), [1, 3, SIZE, SIZE], what="the shape of a picture of 80 x 40")
    assert_close(float(x[0, 1, :12].min()), 1.0, rtol=1e-4, what="green in the upper half")


@pytest.mark.question("fruit_net", given=["normalize"])
def test_net(student):
    """Six logits for each picture, mean and std in the state, and a budget that is kept."""
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    model = student.FruitNet(mean, std, 6)
    model.eval()
    assert_close(list(model(torch.zeros(2, 3, SIZE, SIZE)).shape), [2, 6], what="the shape of the logits")
    state = student.builtin("dict", model.state_dict())
    count = sum(int(np.prod(tuple(tensor.shape))) for tensor in state.values())
    if count > MAX_NUMBERS:
        fail(f"The network has {count:,} numbers.", expected=f"at most {MAX_NUMBERS:,}")
    for name, value in (("mean", mean), ("std", std)):
        if name not in state:
            fail(f"The state_dict has no {name!r}.", hint=f'self.register_buffer("{name}", {name})')
        assert_close(state[name].reshape(-1), value.numpy(), rtol=1e-5, what=f"the buffer {name}")


@pytest.mark.question("augment")
def test_augment(student):
    """The shape and the range stay, the picture that went in too, and each comes out differently."""
    x = torch.zeros(6, 3, SIZE, SIZE)
    x[:, 0, 8:20, 6:14] = 1.0
    student.value("torch").manual_seed(0)
    out = assert_unchanged(student.augment, x)
    assert_close(list(out.shape), list(x.shape), what="the shape")
    if out.min() < 0 or out.max() > 1 + 1e-6:
        fail("Values have left the range from 0 to 1.", hint="clamp(0, 1)")
    if torch.equal(out[0], out[1]):
        fail("Two equal pictures are changed alike.", hint="Random numbers for each picture.")


@pytest.mark.question("train_model")
def test_training(student):
    """A small network learns three colours, the history is complete, and the best epoch is kept."""
    there = student.value("torch")
    there.manual_seed(0)
    model = there.nn.Sequential(there.nn.Flatten(), there.nn.Linear(12, 3))
    y = torch.arange(96) % 3
    x = torch.rand(96, 3, 2, 2, generator=torch.Generator().manual_seed(1)) * 0.2
    x[torch.arange(96), y] += 0.5
    history = student.train_model(model, x, y, x, y, 10, 0.05)
    if not isinstance(history, dict) or not {"train_loss", "val_accuracy"} <= history.keys():
        fail('A dict with "train_loss" and "val_accuracy" is expected.', value=history)
    assert_close([len(history["train_loss"]), len(history["val_accuracy"])], [10, 10], what="their lengths")
    if max(history["val_accuracy"]) < 0.9:
        fail("Three colours are not learned in ten epochs.", got=f"{max(history['val_accuracy']):.0%} right")
    reached = float((model(x).argmax(dim=1) == y).double().mean())
    assert_close(
        reached, max(history["val_accuracy"]), atol=1e-4, what="the accuracy of the model that is left"
    )


def new_net(student):
    """A network of the student's, and a path to save it."""
    model = student.FruitNet(torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3]), 6)
    model.eval()
    return model, f"{student.folder()}/model.pt"


@pytest.mark.question("save_model", given=["normalize"])
def test_save(student):
    """There is a file, and nothing would be called by opening it."""
    model, path = new_net(student)
    student.save_model(model, path)
    content = student.value("Path")(path).read_bytes()
    student.events.pop()  # the bytes of every network are others, also where the same mistake wrote them
    try:
        kind_of(content)
    except WeightsError as error:
        fail(f"The file would be refused: it {error}.", hint="torch.save(model.state_dict(), path)")


@pytest.mark.question("load_model", given=["normalize"])
def test_load(student):
    """What was saved comes back, in eval mode."""
    model, path = new_net(student)
    try:
        student.save_model(model, path)
        loaded = student.load_model(path)
    except StudentError:  # save_model is a question of its own
        student.value("torch").save(model.state_dict(), path)
        loaded = student.load_model(path)
    if loaded.training is not False:
        fail("The loaded model is in training mode.", hint="model.eval()")
    x = torch.linspace(0, 1, 2 * 3 * SIZE * SIZE).reshape(2, 3, SIZE, SIZE)
    assert_close(loaded(x), model(x).detach().numpy(), rtol=1e-2, atol=1e-2, what="the logits")


@pytest.mark.question("predict", given=["preprocess"])
def test_predict(student):
    """Red, green and blue pictures, and a model that looks at nothing but the mean colour."""
    there = student.value("torch")
    model = there.nn.Sequential(there.nn.AdaptiveAvgPool2d(1), there.nn.Flatten())
    images = np.zeros((3, 3, SIZE, SIZE), np.uint8)
    images[[0, 1, 2], [2, 0, 1]] = 255
    proba = student.predict_proba(model, images)
    e = np.exp(1)
    expected = np.full((3, 3), 1 / (e + 2))
    expected[[0, 1, 2], [2, 0, 1]] = e / (e + 2)
    assert_close(proba, expected, rtol=1e-4, what="the probabilities")
    assert_close(np.asarray(student.predict(model, images)), np.array([2, 0, 1]), what="the classes")


@pytest.mark.question("fruit_model", given=["normalize"])
def test_your_file(student, data):
    """Your file is found, keeps the budget, and knows more about fruit than a linear model."""
    path = student.file("weights", beside=["model.safetensors", "model.pt"])
    try:
        model = student.load_model(path)
    except StudentError:  # load_model is a question of its own
        model = student.FruitNet(torch.zeros(3), torch.ones(3), 6)
        model.load_state_dict(student.value("torch").load(path, weights_only=True))
    model.eval()
    state = student.builtin("dict", model.state_dict())
    count = sum(int(np.prod(tuple(tensor.shape))) for tensor in state.values())
    if count > MAX_NUMBERS:
        fail(f"Your model has {count:,} numbers.", expected=f"at most {MAX_NUMBERS:,}")
    fruit = data("fruit", num_train=0, num_test=150, seed=17, shift=0.5)
    guess = model(torch.tensor(fruit.x_test).float() / 255).argmax(dim=1).numpy()
    assert_classified(
        guess, fruit.y_test, 0.6, classes=CLASSES, images=fruit.x_test, what="accuracy elsewhere"
    )
