"""The augmentation, as mathematics and as an effect; and the loaders, of which one augments.

What is done to a picture is found again from the picture, and what is random is measured. Bounds on what is
random are six standard deviations wide, or as unlikely to be passed.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autograder.checking import assert_accuracy, assert_close, fail
from autograder.datasets import load_dataset


def plain(student, value):
    """A tensor that came from the student's code: one of torchvision's own kinds as an ordinary one."""
    if value is not None and hasattr(value, "as_subclass") and not isinstance(value, torch.Tensor):
        value = value.as_subclass(student.value("torch").Tensor)
    if not isinstance(value, torch.Tensor):
        fail("A tensor was expected.", value=value)
    return value


def views_of(student, transform, pictures):
    """Each picture through the transform, by itself: a float32 array."""
    views = plain(student, student.transformed(transform, pictures))
    if views.dtype != torch.float32 or views.shape != pictures.shape:
        fail(
            "The transform should give a float32 tensor of the picture's shape.",
            expected=f"float32 {tuple(pictures.shape[1:])}",
            got=f"{views.dtype} {tuple(views.shape[1:])}".replace("torch.", ""),
            hint="v2.ToDtype(torch.float32, scale=True)", value=views,
        )  # fmt: skip
    return views.numpy()


# --- place: three spots, one in each channel, from whose places the transformation is found again
SIZE, RADIUS, WIDTH = 60, 0.3, 0.06
PLACES = RADIUS * np.exp(2j * np.pi * (np.arange(3) / 3 + 0.1))  # x + iy, y pointing down, from -1 to 1
AXIS = (np.arange(SIZE) + 0.5) * 2 / SIZE - 1
POINTS = AXIS[None, :] + 1j * AXIS[:, None]
SPOTS = np.exp(-(np.abs(POINTS[None] - PLACES[:, None, None]) ** 2) / (2 * WIDTH**2))
NAMES = ("angle", "zoom", "move to the right", "move down")


def spots(N):
    """N times the same picture, a spot in each channel."""
    return torch.tensor(np.rint(250 * SPOTS).astype(np.uint8)).expand(N, -1, -1, -1).contiguous()


def places_in(views):
    """Angle in degrees, scale and moves in units of the side, of each view (N, 3, SIZE, SIZE)."""
    weights = np.where(views > 0.04, views, 0.0)
    found = (weights * POINTS).sum(axis=(2, 3)) / np.maximum(weights.sum(axis=(2, 3)), 1e-9)
    # Least squares for q = c p + t, with c = s exp(-i phi), since y points down.
    centre = found.mean(axis=1)
    c = ((found - centre[:, None]) * PLACES.conj()).sum(axis=1) / (np.abs(PLACES) ** 2).sum()
    misfit = np.abs(found - centre[:, None] - c[:, None] * PLACES).max(axis=1)
    if misfit.max() > 0.03:
        fail(
            "The picture is not merely turned, zoomed and moved.",
            hint="No mirror image, no shear, and the same transformation for all channels.",
        )
    return -np.degrees(np.angle(c)), np.abs(c), centre.real / 2, centre.imag / 2


def check_even(values, low, high, name, slack):
    """The values are drawn evenly from low to high; `slack` is the precision of the measurement."""
    if values.min() < low - slack or values.max() > high + slack:
        fail(
            f"The {name} leaves its range.", expected=f"from {low:.3g} to {high:.3g}",
            got=f"from {values.min():.3g} to {values.max():.3g}",
        )  # fmt: skip
    if low == high:
        return
    N = len(values)
    place = np.sort((values - low) / (high - low))
    gap = np.max(np.abs(place - (np.arange(N) + 0.5) / N)) + 0.5 / N
    # sqrt(N) times the gap exceeds 3 once in 3e7 times (Kolmogorov and Smirnov).
    if gap > 3 / math.sqrt(N) + slack / (high - low):
        fail(
            f"The {name} is not drawn evenly between {low:.3g} and {high:.3g}.",
            got=f"from {values.min():.3g} to {values.max():.3g}, {values.mean():.3g} on average",
        )


def ranges(degrees, shift, zoom):
    """The range of each of NAMES, and the precision with which it is measured: moves are by whole pixels."""
    half = 0.6 / SIZE
    return (
        (-degrees, degrees, 1.0),
        (1 - zoom, 1 + zoom, 0.015),
        (-shift, shift, half),
        (-shift, shift, half),
    )


@pytest.mark.question("make_augmentation", weight=3)
def test_make_augmentation_place(student, rng):
    """Angle, zoom and both moves are drawn evenly from their ranges, all together."""
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    degrees, shift, zoom = (float(rng.uniform(*each)) for each in ((20, 40), (0.15, 0.22), (0.2, 0.3)))
    transform = student.make_augmentation(degrees, shift, zoom, 0.0)
    found = places_in(views_of(student, transform, spots(240)))
    for values, (low, high, slack), name in zip(found, ranges(degrees, shift, zoom), NAMES, strict=True):
        check_even(values, low, high, name, slack)
    rows = np.stack([*found, *(np.roll(each, 1) for each in found)])
    if np.abs(np.corrcoef(rows) - np.eye(8)).max() > 6 / math.sqrt(240) + 0.05:
        fail(
            "Two of the random numbers depend on each other.", hint="Each is drawn by itself, in every call."
        )


@pytest.mark.question("make_augmentation", weight=2)
def test_make_augmentation_alone(student, rng):
    """Each range by itself changes what it says and nothing else."""
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    for degrees, shift, zoom in ((30, 0, 0), (0, 0.2, 0), (0, 0, 0.3)):
        transform = student.make_augmentation(degrees=degrees, shift=shift, zoom=zoom, light=0)
        found = places_in(views_of(student, transform, spots(60)))
        for values, (low, high, slack), name in zip(found, ranges(degrees, shift, zoom), NAMES, strict=True):
            given = f"{name} with degrees={degrees}, shift={shift}, zoom={zoom}"
            check_even(values, low, high, given, slack)


@pytest.mark.question("make_augmentation")
def test_make_augmentation_defaults(student, rng):
    """By default: 15 degrees, a tenth of the side, a zoom of 0.15 and a light of 0.3."""
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    views = views_of(student, student.make_augmentation(), spots(200))
    for values, (low, high, slack), name in zip(places_in(views), ranges(15, 0.1, 0.15), NAMES, strict=True):
        check_even(values, low, high, name, slack)
    grey = torch.full((200, 3, 9, 9), 102, dtype=torch.uint8)
    factors = views_of(student, student.make_augmentation(), grey)[:, 0, 4, 4] / 0.4
    check_even(factors, 0.7, 1.3, "factor of the light", 0.012)


@pytest.mark.question("make_augmentation", weight=2)
def test_make_augmentation_light(student, rng):
    """All values of a picture are multiplied with one factor, drawn evenly; what gets too light is white."""
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    pictures = torch.tensor(rng.integers(20, 256, size=(1, 3, 5, 6)).astype(np.uint8))
    pictures[0, :, 0, 0] = torch.tensor([100, 120, 140])
    for light in (0.4, 0.15):
        transform = student.make_augmentation(degrees=0, shift=0, zoom=0, light=light)
        views = views_of(student, transform, pictures.expand(250, -1, -1, -1).contiguous())
        whole = pictures.numpy().astype(float) / 255
        factors = views[:, 1, 0, 0] / whole[0, 1, 0, 0]
        check_even(factors, 1 - light, 1 + light, "factor of the light", 0.012)
        expected = np.clip(whole * factors[:, None, None, None], 0, 1)
        hint = "v2.ColorJitter(brightness=light): neither contrast nor colours change."
        assert_close(views, expected, rtol=0.012, atol=0.012, what="the pictures", hint=hint)


@pytest.mark.question("make_augmentation")
def test_make_augmentation_nothing(student, rng):
    """With all ranges 0 the picture comes back as it was, as floats from 0 to 1, whatever its shape."""
    for shape in ((2, 3, 7, 7), (2, 3, 6, 9), (1, 3, 12, 5)):
        pictures = torch.tensor(rng.integers(0, 256, size=shape).astype(np.uint8))
        transform = student.make_augmentation(degrees=0, shift=0, zoom=0, light=0)
        views = views_of(student, transform, pictures)
        hint = "v2.ToDtype(torch.float32, scale=True) divides by 255."
        assert_close(views, pictures.numpy() / 255, rtol=1e-5, atol=1e-4, what="the pictures", hint=hint)


@pytest.mark.question("make_augmentation")
def test_make_augmentation_border(student, rng):
    """Where nothing was it is black, and values stay between 0 and 1."""
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    white = torch.full((60, 3, 24, 24), 255, dtype=torch.uint8)
    views = views_of(student, student.make_augmentation(20, 0.2, 0.2, 0.0), white)
    if not (views[:, :, 12, 12] > 0.99).all():
        fail("A white picture should stay white in its middle.")
    corners = views[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    if corners.min() > 0.01:
        fail("What comes in from outside should be black.", expected="0", got=f"{corners.min():.3g} at least")
    loud = student.make_augmentation(20, 0.2, 0.2, 0.9)
    views = views_of(student, loud, white)
    if views.min() < 0 or views.max() > 1 + 1e-6:
        fail("Values leave the range from 0 to 1.", got=f"from {views.min():.3g} to {views.max():.3g}")


@pytest.mark.question("make_augmentation")
def test_make_augmentation_smooth(student, rng):
    """Between two pixels it interpolates: a slant of light stays smooth when it is turned and zoomed."""
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    slant = torch.tensor(np.broadcast_to(np.arange(40) * 6, (3, 40, 40)).astype(np.uint8))
    transform = student.make_augmentation(degrees=25, shift=0, zoom=0.2, light=0)
    views = views_of(student, transform, slant.expand(20, -1, -1, -1).contiguous()) * 255
    middle = views[:, :, 12:28, 12:28]
    bend = np.abs(middle[..., 2:] - 2 * middle[..., 1:-1] + middle[..., :-2]).max()
    if bend > 4:  # rounding to bytes makes 2 of it, the nearest pixel 6
        fail(
            "A slant of light gets stairs when it is turned.", got=f"second differences of {bend:.2g} levels",
            expected="second differences of at most 2 levels",
            hint="interpolation=v2.InterpolationMode.BILINEAR",
        )  # fmt: skip


@pytest.mark.question("make_augmentation")
def test_make_augmentation_seed(student, rng):
    """torch.manual_seed repeats the views; without it every call, and every picture, gets its own."""
    there = student.value("torch")
    pictures = torch.tensor(rng.integers(0, 256, size=(1, 3, 16, 16)).astype(np.uint8)).expand(6, -1, -1, -1)
    transform = student.make_augmentation()
    results = []
    for seed in (7, 7, 8):
        there.manual_seed(seed)
        results.append([views_of(student, transform, pictures.contiguous()) for _ in range(2)])
    hint = "All random numbers are torch's own."
    assert_close(results[1], results[0], rtol=0, atol=0, what="the views for the same seed", hint=hint)
    same = {view.tobytes() for view in (*results[0][0], *results[0][1], *results[2][0])}
    if len(same) < 18:
        fail(
            f"18 views of one picture, of which only {len(same)} are different.",
            hint="Draw in every call: not once when the pipeline is made, and without seeding.",
        )


@pytest.mark.question("make_augmentation")
def test_make_augmentation_leaves_pictures(student, rng):
    """The picture that it gets is not changed."""
    pixels = torch.tensor(rng.integers(0, 256, size=(2, 3, 9, 9)).astype(np.uint8))
    for options in ({}, {"degrees": 0, "shift": 0, "zoom": 0}):
        # `transformed` hands its pictures over one by one, as they are.
        made, after = student.transformed.after(student.make_augmentation(**options), pixels)
        assert_close(tuple(plain(student, made).shape), (2, 3, 9, 9), what="the shape of the views")
        assert_close(plain(student, after[1]), pixels.numpy(), what="the pictures afterwards")


# --- does it help?
LETTERS, PEOPLE, PICTURES, VIEWS, EPOCHS = "bilvwy", 3, 150, 4, 20


def small_cnn():
    """A network that learns 150 pictures in half a second."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, len(LETTERS)),
    )  # fmt: skip


def trained(views, y, seed):
    """A network trained on the views, (V, N, 3, H, W), one after the other, each epoch the next."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = small_cnn()
        optimizer = torch.optim.AdamW(model.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 8e-3, epochs=EPOCHS, steps_per_epoch=math.ceil(len(y) / 32)
        )
        for epoch in range(EPOCHS):
            for rows in torch.randperm(len(y)).split(32):
                loss = F.cross_entropy(model(views[epoch % len(views)][rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return model.eval()


GAIN = 0.03
"""By how much views help at least, on average over three problems: over 14 seeds the default's by 0.137, with
a standard deviation of 0.023.
"""


@pytest.mark.question("make_augmentation", weight=3)
def test_make_augmentation_helps(student, rng):
    """A network trained on the views reads unseen hands better than one trained on the pictures alone."""
    with_views, without, truth = [], [], []
    for _ in range(3):
        seed = int(rng.integers(2**31))
        student.value("torch").manual_seed(seed)
        hands = load_dataset(
            "letters", letters=LETTERS, people=PEOPLE, num_train=PICTURES, num_test=600, seed=seed, shift=0.5
        )
        pictures, y = torch.tensor(hands.x_train), torch.tensor(hands.y_train)
        transform = student.make_augmentation()
        views = torch.tensor(views_of(student, transform, pictures.repeat(VIEWS, 1, 1, 1)))
        views = views.reshape(VIEWS, *pictures.shape)
        unseen = torch.tensor(hands.x_test) / 255
        for guesses, shown in ((with_views, views), (without, pictures[None] / 255)):
            guesses.append(trained(shown, y, seed)(unseen).argmax(dim=1).numpy())
        truth.append(hands.y_test)
    labels = np.concatenate(truth)
    plain_accuracy = float(np.mean(np.concatenate(without) == labels))
    hint = (
        f"Without augmentation it is {plain_accuracy:.1%}; the views should add at least {GAIN:.0%} to that."
    )
    what = "accuracy on unseen hands"
    assert_accuracy(np.concatenate(with_views), labels, plain_accuracy + GAIN, what=what, hint=hint)


# --- loaders
def numbered(N, shape=(3, 2, 2)):
    """N pictures whose value says which they are, and labels that say so, too."""
    values = torch.arange(N, dtype=torch.uint8)
    return values.reshape(N, 1, 1, 1).expand(N, *shape).contiguous(), (torch.arange(N) * 7 + 3) % 101


def marking(student):
    """A transform without chance: (x / 255 + 1) / 2."""
    v2, there = student.value("v2"), student.value("torch")
    return v2.Compose([v2.ToDtype(there.float32, scale=True), v2.Normalize([-1.0] * 3, [2.0] * 3)])


def item(student, dataset, i):
    """Picture and label number i."""
    found = student.builtin("getitem", dataset, i)
    if not isinstance(found, tuple | list) or len(found) != 2:
        fail("An item should be (picture, label).", value=found)
    label = found[1]
    whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
    if not whole and not (isinstance(label, torch.Tensor) and label.dtype == torch.int64):
        fail("A label should be an int or an int64 tensor.", value=label)
    return plain(student, found[0]), label


@pytest.mark.question("make_loaders", weight=2)
def test_letter_images_items(student, rng):
    """Item i is picture i, as float32 from 0 to 1 or as the transform gives it, with its label."""
    pictures = torch.tensor(rng.integers(0, 256, size=(6, 3, 4, 5)).astype(np.uint8))
    labels = torch.tensor(rng.integers(0, 20, size=6))
    whole = pictures.numpy() / 255
    for transform, expected in ((None, whole), (marking(student), (whole + 1) / 2)):
        dataset = student.LetterImages(pictures, labels, transform)
        assert_close(student.builtin("len", dataset), 6, what="len(dataset)")
        for i in (4, 0, 5, 4, 1):
            picture, label = item(student, dataset, i)
            if picture.dtype != torch.float32:
                fail("A picture should be a float32 tensor.", got=str(picture.dtype), value=picture)
            what = f"picture {i}{'' if transform is None else ' after the transform'}"
            assert_close(picture, expected[i], rtol=1e-5, atol=1e-6, what=what)
            assert_close(label, int(labels[i]), what=f"label {i}")


@pytest.mark.question("make_loaders")
def test_letter_images_anew(student, rng):
    """The transform is applied each time an item is asked for, to one picture, and the label stays."""
    v2, there = student.value("v2"), student.value("torch")
    there.manual_seed(int(rng.integers(2**31)))
    pictures = torch.tensor(rng.integers(0, 256, size=(3, 3, 4, 4)).astype(np.uint8))
    flip = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.ToDtype(there.float32, scale=True)])
    dataset = student.LetterImages(pictures, torch.tensor([5, 1, 9]), flip)
    for i in range(3):
        expected = pictures[i].numpy() / 255
        flipped = 0
        for _ in range(40):
            picture, label = item(student, dataset, i)
            turned = not np.allclose(picture.numpy(), expected, atol=1e-5)
            flipped += turned
            what = "a picture that is mirrored half of the time"
            assert_close(
                picture, expected[..., ::-1] if turned else expected, rtol=1e-5, atol=1e-6, what=what
            )
            assert_close(label, [5, 1, 9][i], what="its label")
        if not 1 <= flipped <= 39:
            fail(
                "The same item is transformed in the same way each time.",
                hint="Transform in __getitem__, not when the data set is made.",
            )


def loaders_of(student, *arguments):
    """The two loaders."""
    loaders = student.make_loaders(*arguments)
    if not isinstance(loaders, tuple | list) or len(loaders) != 2:
        fail("make_loaders should return (train_loader, val_loader).", value=loaders)
    return loaders


def batches_of(student, loader):
    """All batches of one epoch: (pictures, labels) each."""
    batches = student.builtin("list", loader)
    if not all(isinstance(batch, tuple | list) and len(batch) == 2 for batch in batches):
        fail("A batch should be (pictures, labels).", value=batches)
    return [(plain(student, pictures), labels) for pictures, labels in batches]


def check_epoch(batches, N, batch_size, change, name):
    """Every picture came once, with its label, changed as it should be; their order is returned."""
    sizes = [batch_size] * (N // batch_size) + ([N % batch_size] if N % batch_size else [])
    assert_close([len(labels) for _, labels in batches], sizes, what=f"the sizes of the {name} batches")
    pictures = torch.cat([pictures for pictures, _ in batches]).numpy()
    labels = torch.cat([labels for _, labels in batches]).numpy()
    _, truth = numbered(N)
    order = np.array(
        [int(np.flatnonzero(truth.numpy() == label)[0]) if label in truth else -1 for label in labels]
    )
    assert_close(
        sorted(order.tolist()), list(range(N)), what=f"the {name} examples of an epoch, by their labels"
    )
    expected = np.broadcast_to(change(order / 255.0)[:, None, None, None], (N, 3, 2, 2))
    hint = "The transform is for training pictures only, and a picture keeps its label."
    assert_close(pictures, expected, rtol=1e-5, atol=1e-6, what=f"the {name} pictures", hint=hint)
    return order.tolist()


SIZES = ((13, 9, 4), (6, 8, 3), (5, 7, 8))


@pytest.mark.question("make_loaders", weight=2)
def test_make_loaders_training(student, rng):
    """Training pictures go through the transform, all of them, in every epoch."""
    for N, M, batch_size in SIZES:
        student.value("torch").manual_seed(int(rng.integers(2**31)))
        train, _ = loaders_of(student, numbered(N), numbered(M), marking(student), batch_size)
        for _ in range(2):
            check_epoch(batches_of(student, train), N, batch_size, lambda x: (x + 1) / 2, "training")


@pytest.mark.question("make_loaders", weight=2)
def test_make_loaders_validation(student):
    """Validation pictures come as they are, all of them, in every epoch."""
    for N, M, batch_size in SIZES:
        _, val = loaders_of(student, numbered(N), numbered(M), marking(student), batch_size)
        for _ in range(2):
            check_epoch(batches_of(student, val), M, batch_size, lambda x: x, "validation")


@pytest.mark.question("make_loaders")
def test_make_loaders_without(student):
    """Without a transform both give the pictures from 0 to 1."""
    train, val = loaders_of(student, numbered(10), numbered(5), None, 4)
    check_epoch(batches_of(student, train), 10, 4, lambda x: x, "training")
    check_epoch(batches_of(student, val), 5, 4, lambda x: x, "validation")


@pytest.mark.question("make_loaders", weight=2)
def test_make_loaders_order(student, rng):
    """Training pictures come shuffled, in another order in each epoch; validation pictures in theirs."""
    student.value("torch").manual_seed(int(rng.integers(2**31)))
    train, val = loaders_of(student, numbered(60), numbered(60), None, 7)
    orders = [check_epoch(batches_of(student, train), 60, 7, lambda x: x, "training") for _ in range(2)]
    if orders[0] == list(range(60)) or orders[0] == orders[1]:
        fail("The training pictures come in the same order in every epoch.", hint="shuffle=True")
    for _ in range(2):
        order = check_epoch(batches_of(student, val), 60, 7, lambda x: x, "validation")
        assert_close(order, list(range(60)), what="the order of the validation pictures")


@pytest.mark.question("make_loaders")
def test_make_loaders_views(student, rng):
    """In every epoch a training picture is transformed anew, each picture of a batch in its own way."""
    v2, there = student.value("v2"), student.value("torch")
    there.manual_seed(int(rng.integers(2**31)))
    pictures, labels = torch.zeros(24, 3, 2, 2, dtype=torch.uint8), torch.arange(24)
    pictures[..., 0] = 255
    flip = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.ToDtype(there.float32, scale=True)])
    train, val = loaders_of(student, (pictures, labels), (pictures, labels), flip, 24)
    epochs = []
    for _ in range(2):
        ((views, numbers),) = batches_of(student, train)
        epochs.append(views[numbers.argsort()][:, 0, 0, 0].round().int().tolist())
    # A picture stays as it is with a probability of 1/2: all of 24 alike, or two epochs alike, never happen.
    if len(set(epochs[0])) < 2:
        fail("All pictures of a batch are transformed alike.", hint="Transform each picture by itself.")
    if epochs[0] == epochs[1]:
        fail("The second epoch has the views of the first.", hint="Transform when a picture is asked for.")
    ((views, _),) = batches_of(student, val)
    assert_close(views, pictures.numpy() / 255, rtol=1e-5, atol=1e-6, what="the validation pictures")
