"""What check("...") runs: small examples worked by hand, and properties that any right answer has.

Models, loaders and files are made beside your functions: `student.value("torch")` is your torch.
"""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from autograder.checking import StudentError, assert_close, assert_unchanged, fail


def number_of_parameters(student, model):
    """How many numbers the model learns."""
    return sum(parameter.numel() for parameter in student.builtin("list", model.parameters()))


def plain(student, value):
    """A tensor that came from the student's code: one of torchvision's own kinds as an ordinary one."""
    if value is not None and hasattr(value, "as_subclass") and not isinstance(value, torch.Tensor):
        value = value.as_subclass(student.value("torch").Tensor)
    if not isinstance(value, torch.Tensor):
        fail("A tensor was expected.", value=value)
    return value


@pytest.mark.question("build_dense")
def test_build_dense(student):
    """It has the right number of parameters, and gives a number for each picture and class."""
    for hidden, expected in (
        ((5,), 48 * 5 + 5 + 5 * 3 + 3),
        ((), 48 * 3 + 3),
        ((4, 6), 48 * 4 + 4 + 30 + 21),
    ):
        model = student.build_dense(3, hidden, 4)
        assert_close(number_of_parameters(student, model), expected, what=f"the parameters, {hidden} hidden")
        out = model(torch.zeros(2, 3, 4, 4))
        assert_close(list(out.shape), [2, 3], what="the shape of the logits of two pictures")


@pytest.mark.question("build_cnn")
def test_build_cnn(student):
    """It has the right number of parameters, for sizes that do not halve evenly, too."""
    hint = "Convolutions without bias, two numbers for each map that is normalised, a linear layer."
    for channels, size, places in (((4,), 8, 16), ((4, 6), 8, 4), ((4, 6), 15, 9)):
        model = student.build_cnn(5, channels, 0.5, size)
        expected = 3 * 4 * 9 + 2 * 4 + (4 * 6 * 9 + 2 * 6) * (len(channels) - 1)
        expected += channels[-1] * places * 5 + 5
        count = number_of_parameters(student, model)
        assert_close(count, expected, what=f"the parameters, {channels} channels, size {size}", hint=hint)
        model.train(False)
        out = model(torch.zeros(2, 3, size, size))
        assert_close(list(out.shape), [2, 5], what="the shape of the logits of two pictures")


def spot():
    """A black picture with a white spot at the upper right of its middle."""
    picture = torch.zeros(3, 33, 33, dtype=torch.uint8)
    picture[:, 8:13, 20:25] = 255
    return picture


@pytest.mark.question("make_augmentation")
def test_make_augmentation(student):
    """Shape, type and range; calls differ; the same seed gives the same."""
    there = student.value("torch")
    transform = student.make_augmentation()
    there.manual_seed(1)
    views = [plain(student, transform(spot())) for _ in range(8)]
    for view in views:
        assert_close(list(view.shape), [3, 33, 33], what="the shape")
        if view.dtype != torch.float32:
            fail(
                "A float32 tensor was expected.",
                got=str(view.dtype),
                hint="v2.ToDtype(torch.float32, scale=True)",
            )
        if view.min() < 0 or view.max() > 1 + 1e-6:
            fail("Values should be between 0 and 1.", got=f"from {view.min():.3g} to {view.max():.3g}")
        if view[:, :, :12].max() > 0.2 or view[:, 24:].max() > 0.2:
            fail("The spot is on another side: no mirror images, and small angles only.")
    if any(torch.equal(views[0], view) for view in views[1:]):
        fail("Two calls give the same.", hint="A transform of v2 draws anew whenever it is called.")
    there.manual_seed(1)
    assert_close(plain(student, transform(spot())), views[0].numpy(), what="the view for the same seed")


@pytest.mark.question("make_augmentation")
def test_make_augmentation_nothing(student):
    """With all ranges 0 nothing changes but the type: 255 becomes 1."""
    transform = student.make_augmentation(degrees=0, shift=0, zoom=0, light=0)
    view = plain(student, transform(spot()))
    assert_close(view, spot().numpy() / 255, rtol=1e-5, atol=1e-4, what="the picture")


def four():
    """Four pictures of one value each, 0, 51, 102 and 153, and their labels."""
    values = torch.tensor([0, 51, 102, 153], dtype=torch.uint8)
    return values[:, None, None, None].expand(4, 3, 2, 2).contiguous(), torch.tensor([3, 1, 0, 2])


@pytest.mark.question("make_loaders")
def test_letter_images(student):
    """Item i is the picture from 0 to 1 with its label, or what the transform makes of it."""
    dataset = student.LetterImages(*four())
    assert_close(student.builtin("len", dataset), 4, what="len(dataset)")
    for i in (2, 0, 3):
        picture, label = student.builtin("getitem", dataset, i)
        assert_close(
            plain(student, picture), np.full((3, 2, 2), 0.2 * i), rtol=1e-5, atol=1e-6, what="a picture"
        )
        assert_close(label, int(four()[1][i]), what="its label")
    dataset = student.LetterImages(*four(), student.value("torch").neg)
    picture, _ = student.builtin("getitem", dataset, 1)
    assert_close(plain(student, picture), np.full((3, 2, 2), 205), what="a picture after a transform")


@pytest.mark.question("make_loaders")
def test_make_loaders(student):
    """The transform is for training pictures only; every picture comes once, with its label."""
    black = student.value("torch").zeros_like
    loaders = student.make_loaders(four(), four(), black, 3)
    if not isinstance(loaders, tuple | list) or len(loaders) != 2:
        fail("make_loaders should return (train_loader, val_loader).", value=loaders)
    batches = student.builtin("list", loaders[0])
    assert_close([len(labels) for _, labels in batches], [3, 1], what="the sizes of the training batches")
    assert_close(
        sorted(torch.cat([labels for _, labels in batches]).tolist()), [0, 1, 2, 3], what="the labels"
    )
    if any(plain(student, pictures).max() > 0 for pictures, _ in batches):
        fail("The training pictures do not go through the transform.")
    batches = student.builtin("list", loaders[1])
    values = torch.cat([plain(student, pictures)[:, 0, 0, 0] for pictures, _ in batches])
    expected = np.array([0, 0.2, 0.4, 0.6])
    assert_close(values, expected, rtol=1e-5, atol=1e-6, what="the validation pictures", hint="As they are.")


@pytest.mark.question("save_model")
def test_save_model(student):
    """The file holds a dict with the settings, the classes and the state, buffers included."""
    folder = student.folder()
    there = student.value("torch")
    model = there.nn.Sequential(there.nn.Linear(2, 3), there.nn.BatchNorm1d(3))
    path = f"{folder}/model.pt"
    student.save_model(path, model, {"width": 3}, ("a", "b", "c"))
    content = there.load(path, weights_only=True)
    if not isinstance(content, dict):
        fail("The file should hold a dict.", value=content)
    for name, expected in (("settings", {"width": 3}), ("classes", ["a", "b", "c"])):
        assert_close(content.get(name), expected, what=f"the entry {name!r}")
    names = student.builtin("list", student.builtin("dict", content.get("state", {})))
    expected = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"]
    assert_close(sorted(names), sorted([*expected, "1.num_batches_tracked"]), what="the names in the state")


def file_with(student, path, content):
    """Write a model file with this content beside the student's code."""
    stream = io.BytesIO()
    torch.save(content, stream)
    student.value("Path")(path).write_bytes(stream.getvalue())


@pytest.mark.question("load_model")
def test_load_model(student):
    """It builds what the settings say, with the weights that are in the file, in eval mode."""
    folder = student.folder()
    linear = student.value("torch").nn.Linear
    state = {"weight": torch.tensor([[1.0, -2.0, 3.0]]), "bias": torch.tensor([0.5])}
    settings = {"in_features": 3, "out_features": 1}
    path = f"{folder}/model.pt"
    file_with(student, path, {"settings": settings, "classes": ["yes"], "state": state})
    result = student.load_model(path, linear)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("load_model should return (model, classes).", value=result)
    model, classes = result
    assert_close(classes, ["yes"], what="the classes")
    assert_close(model(torch.ones(1, 3)), np.array([[2.5]]), what="the model's answer")
    assert_close(bool(model.training), False, what="model.training")


@pytest.mark.question("load_model")
def test_load_model_refuses(student):
    """A file that is cut off, and one without the weights, are a ModelFileError that names the file."""
    folder = student.folder()
    linear = student.value("torch").nn.Linear
    content = {"settings": {"in_features": 3, "out_features": 1}, "classes": ["yes"], "state": {}}
    path = f"{folder}/no_weights.pt"
    file_with(student, path, content)
    cut = f"{folder}/cut_off.pt"
    there = student.value("Path")
    there(cut).write_bytes(there(path).read_bytes()[:300])
    for file, word in ((path, "weight"), (cut, "")):
        try:
            model = student.load_model(file, linear)
        except StudentError as error:
            if error.type != "ModelFileError":
                raise
            if file not in error.text or word not in error.text:
                fail("The text of the error should say which file it is and what is wrong.", got=error.text)
        else:
            fail(f"{file.rpartition('/')[2]} was read without an error.", value=model)


def encoded(pixels, kind, **options):
    """The content of a picture file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.question("preprocess")
def test_preprocess_arrays(student):
    """Bytes and floats, grey and RGB, and a transparent half that becomes black."""
    pixels = np.full((4, 4, 3), (255, 102, 0), dtype=np.uint8)
    expected = np.broadcast_to(np.array([1.0, 0.4, 0.0])[:, None, None], (3, 4, 4))
    same = {"what": "the picture", "rtol": 1e-5, "atol": 1e-6}
    assert_close(assert_unchanged(student.preprocess, pixels, 4), expected, **same)
    assert_close(student.preprocess(pixels / 255, 4), expected, **same)
    assert_close(student.preprocess(np.full((4, 4), 51, dtype=np.uint8), 4), np.full((3, 4, 4), 0.2), **same)
    alpha = np.zeros((4, 4, 1), dtype=np.uint8)
    alpha[:, :2] = 255
    half = expected * (np.arange(4) < 2)
    hint = "rgb * alpha"
    assert_close(student.preprocess(np.concatenate([pixels, alpha], axis=2), 4), half, hint=hint, **same)


@pytest.mark.question("preprocess")
def test_preprocess_shapes(student):
    """A wide picture gets bars above and below; a large one is averaged; a file is opened and turned."""
    wide = np.full((2, 4), 255, dtype=np.uint8)
    expected = np.zeros((3, 4, 4))
    expected[:, 1:3] = 1
    assert_close(student.preprocess(wide, 4), expected, what="a wide picture", atol=1e-6)
    stripes = np.zeros((64, 64), dtype=np.uint8)
    stripes[:, ::2] = 255
    view = student.preprocess(stripes, 8)
    hint = "antialias=True: each new pixel is an average over the old ones under it."
    assert_close(
        view[:, 2:6, 2:6], np.full((3, 4, 4), 0.5), atol=0.05, what="the middle of stripes", hint=hint
    )
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[:, :4] = 255
    lying = Image.Exif()
    lying[0x0112] = 6  # to be turned clockwise by a quarter: what is on the left comes to the top
    view = student.preprocess(encoded(pixels, "PNG", exif=lying), 8)
    expected = np.broadcast_to((np.arange(8) < 4)[:, None] * 1.0, (3, 8, 8))
    assert_close(
        view, expected, atol=1e-6, what="a picture that lies on its side", hint="ImageOps.exif_transpose"
    )


@pytest.mark.question("predict")
def test_predict(student):
    """Labels and probabilities, with a dropout that must not drop, in batches that are not all full."""
    nn = student.value("torch").nn
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.Dropout(0.9))
    state = {"1.weight": torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "1.bias": torch.zeros(2)}
    model.load_state_dict(state)
    pictures = torch.tensor([[3.0, 0, 0], [0, 1, 0], [0, 0, 5], [0, 2, 2], [4, 0, 0]])[:, :, None, None]
    model.train(True)
    result = student.predict(model, pictures, 2)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("predict should return (labels, probabilities).", value=result)
    labels, probabilities = result
    assert_close(labels[[0, 1, 3, 4]], np.array([0, 1, 1, 0]), what="the labels")
    logit = np.array([3.0, 1, 0, 2, 4])
    expected = 1 / (1 + np.exp(-logit))
    assert_close(probabilities, expected, rtol=1e-5, what="the probabilities", hint="Softmax, in eval mode.")
    assert_close(bool(model.training), True, what="model.training afterwards")
