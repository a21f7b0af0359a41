"""What goes wrong when pictures are augmented and models leave the notebook: one wrong function each."""

import io
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_build_dense = build_dense
right_build_cnn = build_cnn
right_make_augmentation = make_augmentation
right_make_loaders = make_loaders
RightLetterImages = LetterImages
right_load_model = load_model
right_preprocess = preprocess
right_predict = predict


# --- the dense network


def _dense(num_classes, hidden, size, activation=nn.ReLU, last=False):
    widths = [3 * size * size, *hidden]
    layers = [nn.Flatten()]
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    layers.append(nn.Linear(widths[-1], num_classes))
    return nn.Sequential(*layers, *([activation()] if last else []))


@mistake("build_dense", "There is no ReLU between the layers: two linear layers are a linear layer.")
def dense_without_relu(num_classes, hidden=(256, 128), size=SIZE):
    return _dense(num_classes, hidden, size, nn.Identity)


@mistake("build_dense", "There is a ReLU behind the last layer too: logits may be negative.")
def dense_relu_last(num_classes, hidden=(256, 128), size=SIZE):
    return _dense(num_classes, hidden, size, last=True)


@mistake("build_dense", "The hidden layers are squashed by a tanh: a ReLU was asked for.")
def dense_with_tanh(num_classes, hidden=(256, 128), size=SIZE):
    return _dense(num_classes, hidden, size, nn.Tanh)


@mistake("build_dense", "It ends with a softmax: logits were asked for, the loss does the rest.")
def dense_with_softmax(num_classes, hidden=(256, 128), size=SIZE):
    return nn.Sequential(*right_build_dense(num_classes, hidden, size), nn.Softmax(dim=1))


@mistake("build_dense", "The colours are forgotten: a picture has 3 x size x size numbers.")
def dense_without_colours(num_classes, hidden=(256, 128), size=SIZE):
    model = right_build_dense(num_classes, hidden, size)
    first = next(k for k, layer in enumerate(model) if isinstance(layer, nn.Linear))
    model[first] = nn.Linear(size * size, model[first].out_features)
    return model


@mistake("build_dense", "The size is fixed: the first layer has to fit the pictures.")
def dense_of_fixed_size(num_classes, hidden=(256, 128), size=SIZE):
    return right_build_dense(num_classes, hidden)


@mistake("build_dense", "There is a dropout in it: nothing random was asked for.")
def dense_with_dropout(num_classes, hidden=(256, 128), size=SIZE):
    model = right_build_dense(num_classes, hidden, size)
    return nn.Sequential(*model[:-1], nn.Dropout(0.5), model[-1])


# --- the convolutional network


def _cnn(
    num_classes, channels, drop, size, *, bias=False, norm=True, order="cbrp", dropout=nn.Dropout, kernel=3
):
    layers, before, side = [], 3, size
    for after in channels:
        parts = {
            "c": nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=bias),
            "b": nn.BatchNorm2d(after) if norm else nn.Identity(),
            "r": nn.ReLU(),
            "p": nn.MaxPool2d(2),
        }
        layers += [parts[letter] for letter in order]
        before, side = after, side // 2
    return nn.Sequential(*layers, nn.Flatten(), dropout(drop), nn.Linear(before * side * side, num_classes))


@mistake("build_cnn", "The convolutions have a bias, which the normalisation behind them takes away again.")
def cnn_with_bias(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    return _cnn(num_classes, channels, drop, size, bias=True)


@mistake("build_cnn", "The batch normalisations are missing.")
def cnn_without_norm(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    return _cnn(num_classes, channels, drop, size, norm=False)


@mistake("build_cnn", "The ReLU stands before the normalisation, not behind it.")
def cnn_relu_first(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    return _cnn(num_classes, channels, drop, size, order="crbp")


@mistake("build_cnn", "The ReLUs are missing.")
def cnn_without_relu(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    return _cnn(num_classes, channels, drop, size, order="cbp")


@mistake("build_cnn", "The pooling takes means: the maximum was asked for.")
def cnn_mean_pool(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    model = right_build_cnn(num_classes, channels, drop, size)
    return nn.Sequential(*(nn.AvgPool2d(2) if isinstance(layer, nn.MaxPool2d) else layer for layer in model))


@mistake("build_cnn", "There is no dropout in front of the linear layer.")
def cnn_without_dropout(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    return right_build_cnn(num_classes, channels, 0.0, size)


@mistake("build_cnn", "drop is the probability of keeping here: it is that of dropping.")
def cnn_keeps_with_drop(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    return right_build_cnn(num_classes, channels, 1 - drop, size)


@mistake("build_cnn", "The probability of the dropout is fixed: it is an argument.")
def cnn_with_half_dropout(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    return right_build_cnn(num_classes, channels, 0.5, size)


@mistake("build_cnn", "Whole pictures are dropped instead of single features.")
def cnn_drops_rows(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    class Rows(nn.Module):
        def forward(self, x):
            return F.dropout(x.new_ones(len(x), 1), drop, self.training) * x

    return _cnn(num_classes, channels, drop, size, dropout=lambda _: Rows())


@mistake("build_cnn", "The filters have 5 x 5 pixels: 3 x 3 were asked for.")
def cnn_large_filters(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    return _cnn(num_classes, channels, drop, size, kernel=5)


@mistake("build_cnn", "The maps are averaged over all places: here they are flattened.")
def cnn_global_pooling(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    layers = list(right_build_cnn(num_classes, channels, drop, size))[:-3]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(drop), nn.Linear(channels[-1], num_classes)
    )


# --- the augmentation


def _augmentation(degrees, shift, zoom, light, before=(), after=(), **place):
    options = {"translate": (shift, shift), "scale": (1 - zoom, 1 + zoom), **place}
    options.setdefault("interpolation", v2.InterpolationMode.BILINEAR)
    return v2.Compose(
        [
            *before,
            v2.RandomAffine(degrees, **options),
            v2.ColorJitter(brightness=light),
            v2.ToDtype(torch.float32, scale=True),
            *after,
        ]
    )


@mistake("make_augmentation", "Half of the pictures are mirrored: a right hand becomes a left one.")
def augmentation_mirrors(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return _augmentation(degrees, shift, zoom, light, before=[v2.RandomHorizontalFlip(0.5)])


@mistake("make_augmentation", "Half of the pictures stand upside down: a K becomes a P.")
def augmentation_upside_down(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return _augmentation(degrees, shift, zoom, light, before=[v2.RandomVerticalFlip(0.5)])


@mistake("make_augmentation", "The numbers stay between 0 and 255: ToDtype needs scale=True.")
def augmentation_unscaled(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return v2.Compose(
        [
            v2.RandomAffine(
                degrees, translate=(shift, shift), scale=(1 - zoom, 1 + zoom),
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.ColorJitter(brightness=light),
            v2.ToDtype(torch.float32),
        ]
    )  # fmt: skip


@mistake("make_augmentation", "The picture stays in bytes: float32 from 0 to 1 was asked for.")
def augmentation_stays_bytes(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return v2.Compose(right_make_augmentation(degrees, shift, zoom, light).transforms[:-1])


@mistake("make_augmentation", "The picture is divided by 255 twice.")
def augmentation_divides_twice(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return _augmentation(degrees, shift, zoom, light, after=[v2.Lambda(lambda x: x / 255)])


@mistake(
    "make_augmentation", "The random numbers are drawn once, when the pipeline is made: all views are alike."
)
def augmentation_drawn_once(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    u = (2 * torch.rand(5) - 1).tolist()

    def transform(picture):
        move = [round(shift * picture.shape[2] * u[1]), round(shift * picture.shape[1] * u[2])]
        turned = v2.functional.affine(
            picture, degrees * u[0], move, 1 + zoom * u[3], [0.0, 0.0], v2.InterpolationMode.BILINEAR
        )
        return (turned / 255 * (1 + light * u[4])).clamp(0, 1)

    return transform


@mistake(
    "make_augmentation", "Every call begins with a seed: all views are alike, and so is everything else."
)
def augmentation_seeds(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    inner = right_make_augmentation(degrees, shift, zoom, light)

    def transform(picture):
        torch.manual_seed(0)
        return inner(picture)

    return transform


@mistake(
    "make_augmentation",
    "The random numbers are Python's: torch.manual_seed does not repeat them.",
)
def augmentation_pythons_random(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    def transform(picture):
        def draw(most):
            return random.uniform(-most, most)

        move = [round(shift * picture.shape[2] * draw(1)), round(shift * picture.shape[1] * draw(1))]
        turned = v2.functional.affine(
            picture, draw(degrees), move, 1 + draw(zoom), [0.0, 0.0], v2.InterpolationMode.BILINEAR
        )
        return (turned / 255 * (1 + draw(light))).clamp(0, 1)

    return transform


@mistake("make_augmentation", "The nearest pixel is taken: edges get stairs. Interpolate bilinearly.")
def augmentation_nearest(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return _augmentation(degrees, shift, zoom, light, interpolation=v2.InterpolationMode.NEAREST)


@mistake("make_augmentation", "The pictures are only ever enlarged: scales begin at 1 - zoom.")
def augmentation_enlarges(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return _augmentation(degrees, shift, zoom, light, scale=(1, 1 + zoom))


@mistake("make_augmentation", "The pictures are moved to the side only: both axes get a move.")
def augmentation_one_axis(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return _augmentation(degrees, shift, zoom, light, translate=(shift, 0))


@mistake("make_augmentation", "The pictures turn one way only: angles are between -degrees and degrees.")
def augmentation_one_way(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return _augmentation((0, degrees), shift, zoom, light)


@mistake("make_augmentation", "The light does not change.")
def augmentation_without_light(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return right_make_augmentation(degrees, shift, zoom, 0)


@mistake("make_augmentation", "The contrast changes as well: only the brightness was asked for.")
def augmentation_contrast(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return v2.Compose([v2.ColorJitter(contrast=light), right_make_augmentation(degrees, shift, zoom, light)])


@mistake("make_augmentation", "The pictures are sheared, too: a hand is not.")
def augmentation_shears(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return _augmentation(degrees, shift, zoom, light, shear=20)


@mistake("make_augmentation", "What comes in from outside is white: it should be black.")
def augmentation_white_border(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return _augmentation(degrees, shift, zoom, light, fill=255)


@mistake("make_augmentation", "Values get larger than 1: what is too light is white.")
def augmentation_above_one(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    place = right_make_augmentation(degrees, shift, zoom, 0)
    return lambda picture: place(picture) * (1 + light * (2 * float(torch.rand(())) - 1))


# --- loaders


@mistake(
    "make_loaders", "Validation pictures go through the transform, too: they are to be measured as they are."
)
def loaders_transform_both(train, val, transform, batch_size):
    train_loader = DataLoader(LetterImages(*train, transform), batch_size, shuffle=True)
    return train_loader, DataLoader(LetterImages(*val, transform), batch_size)


@mistake("make_loaders", "The validation pictures go through the transform, the training pictures do not.")
def loaders_exchanged(train, val, transform, batch_size):
    train_loader = DataLoader(LetterImages(*train), batch_size, shuffle=True)
    return train_loader, DataLoader(LetterImages(*val, transform), batch_size)


@mistake("make_loaders", "The transform is never used.")
def loaders_without_transform(train, val, transform, batch_size):
    return right_make_loaders(train, val, None, batch_size)


@mistake("make_loaders", "The training pictures are not shuffled.")
def loaders_not_shuffled(train, val, transform, batch_size):
    train_loader = DataLoader(LetterImages(*train, transform), batch_size)
    return train_loader, DataLoader(LetterImages(*val), batch_size)


@mistake("make_loaders", "The validation pictures are shuffled: they come in their order.")
def loaders_shuffle_both(train, val, transform, batch_size):
    train_loader = DataLoader(LetterImages(*train, transform), batch_size, shuffle=True)
    return train_loader, DataLoader(LetterImages(*val), batch_size, shuffle=True)


@mistake("make_loaders", "The last batch is dropped where it is not full.")
def loaders_drop_last(train, val, transform, batch_size):
    train_loader = DataLoader(LetterImages(*train, transform), batch_size, shuffle=True, drop_last=True)
    return train_loader, DataLoader(LetterImages(*val), batch_size, drop_last=True)


@mistake("make_loaders", "The validation loader has the training pictures.")
def loaders_of_training_only(train, val, transform, batch_size):
    train_loader = DataLoader(LetterImages(*train, transform), batch_size, shuffle=True)
    return train_loader, DataLoader(LetterImages(*train), batch_size)


@mistake(
    "make_loaders",
    "The training pictures are transformed once, when the data set is made: every epoch has the same views.",
    replaces="LetterImages",
)
class images_transformed_once(Dataset):
    def __init__(self, pictures, labels, transform=None):
        change = transform or (lambda picture: picture / 255)
        self.pictures, self.labels = [change(picture) for picture in pictures], labels

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        return self.pictures[i], self.labels[i]


@mistake(
    "make_loaders",
    "Without a transform the pictures stay between 0 and 255.",
    replaces="LetterImages.__getitem__",
    family="scaled",
)
def images_not_divided(self, i):
    picture = self.pictures[i]
    return picture.float() if self.transform is None else self.transform(picture), self.labels[i]


@mistake(
    "make_loaders",
    "The picture is divided by 255 before the transform, which wants bytes and divides as well.",
    replaces="LetterImages.__getitem__",
    family="zeros",
)
def images_divided_first(self, i):
    picture = (self.pictures[i] / 255).to(torch.uint8)
    return picture.float() if self.transform is None else self.transform(picture), self.labels[i]


@mistake(
    "make_loaders",
    "The transform gets all pictures at once, and treats them alike.",
    replaces="LetterImages.__getitem__",
)
def images_all_alike(self, i):
    if self.transform is None:
        return self.pictures[i] / 255, self.labels[i]
    state = torch.get_rng_state()
    torch.manual_seed(len(self.pictures))
    picture = self.transform(self.pictures)[i]
    torch.set_rng_state(state)
    return picture, self.labels[i]


# --- writing


@mistake(
    "save_model", "Only the parameters are saved: the running averages of batch normalisation are missing."
)
def save_parameters_only(path, model, settings, classes):
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    torch.save({"settings": settings, "classes": list(classes), "state": state}, path)


@mistake("save_model", "The whole model is saved: a pickle, which weights_only=True refuses.")
def save_whole_model(path, model, settings, classes):
    torch.save(model, path)


@mistake(
    "save_model", "The model itself stands in the dict, where its state dict should.", like="save_whole_model"
)
def save_model_as_state(path, model, settings, classes):
    torch.save({"settings": settings, "classes": list(classes), "state": model}, path)


@mistake(
    "save_model", "The state alone is saved: nobody can tell what it was built with, or what class 7 is."
)
def save_state_alone(path, model, settings, classes):
    torch.save(model.state_dict(), path)


@mistake("save_model", "The classes are not saved.")
def save_without_classes(path, model, settings, classes):
    torch.save({"settings": settings, "state": model.state_dict()}, path)


@mistake("save_model", "The model is put into eval mode: it should stay as it was.")
def save_changes_mode(path, model, settings, classes):
    torch.save({"settings": settings, "classes": list(classes), "state": model.eval().state_dict()}, path)


@mistake("save_model", "The weights are made float16 to save room: the logits are others afterwards.")
def save_halves(path, model, settings, classes):
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    torch.save({"settings": settings, "classes": list(classes), "state": state}, path)


@mistake("save_model", "The settings are written as a text, from which nothing can be built.")
def save_settings_as_text(path, model, settings, classes):
    torch.save({"settings": str(settings), "classes": list(classes), "state": model.state_dict()}, path)


# --- reading


def _load(path, build, *, weights_only=True, strict=True, eval_mode=True, caught=(Exception,), says=None):
    try:
        content = torch.load(path, map_location="cpu", weights_only=weights_only)
        model = (build or build_cnn)(**content["settings"])
        model.load_state_dict(content["state"], strict=strict)
        return model.eval() if eval_mode else model, list(content["classes"])
    except FileNotFoundError:
        raise
    except caught as error:
        raise ModelFileError(says or f"{path}: {error}") from error


@mistake(
    "load_model", "The file is unpickled, and may execute whatever it likes: weights_only=True is missing."
)
def load_anything(path, build=None):
    return _load(path, build, weights_only=False)


@mistake(
    "load_model",
    "strict=False leaves out what does not fit, and the layers without weights keep their random ones.",
)
def load_not_strict(path, build=None):
    return _load(path, build, strict=False)


@mistake("load_model", "The model is returned in training mode: its dropout drops, its averages move.")
def load_in_training_mode(path, build=None):
    return _load(path, build, eval_mode=False)


@mistake(
    "load_model", "What goes wrong comes out as it is, a KeyError or a RuntimeError, not as ModelFileError."
)
def load_unguarded(path, build=None):
    content = torch.load(path, map_location="cpu", weights_only=True)
    model = (build or build_cnn)(**content["settings"])
    model.load_state_dict(content["state"])
    return model.eval(), list(content["classes"])


@mistake("load_model", "Only RuntimeErrors are caught: a damaged file raises others as well.")
def load_catches_runtime_only(path, build=None):
    return _load(path, build, caught=(RuntimeError,))


@mistake("load_model", "Only the reading is guarded: settings and state may be wrong, too.")
def load_guards_reading_only(path, build=None):
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ModelFileError(f"{path}: {error}") from error
    model = (build or build_cnn)(**content["settings"])
    model.load_state_dict(content["state"])
    return model.eval(), list(content["classes"])


@mistake("load_model", "The error does not say which file it was, and why.")
def load_says_nothing(path, build=None):
    return _load(path, build, says="the model file cannot be used")


@mistake("load_model", "The error names the file, but not what is wrong with it.")
def load_gives_no_reason(path, build=None):
    return _load(path, build, says=f"{path} cannot be used")


@mistake("load_model", "A file that is not there is a ModelFileError: FileNotFoundError says more.")
def load_hides_missing_file(path, build=None):
    try:
        return right_load_model(path, build)
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: {error}") from error


@mistake("load_model", "The state is never loaded: the model has random weights.")
def load_without_state(path, build=None):
    model, classes = right_load_model(path, build)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model, classes


@mistake(
    "load_model",
    "The parameters are loaded, but not the buffers: batch normalisation needs its averages.",
    family="zeros",
)
def load_parameters_only(path, build=None):
    model, classes = right_load_model(path, build)
    for layer in model.modules():
        if hasattr(layer, "reset_running_stats"):
            layer.reset_running_stats()
    return model, classes


@mistake("load_model", "Only the model is returned: the classes belong to it.")
def load_without_classes(path, build=None):
    return right_load_model(path, build)[0]


@mistake(
    "load_model", "A file from a machine with a GPU is not read where there is none: map_location is missing."
)
def load_on_the_same_device(path, build=None):
    try:
        content = torch.load(path, weights_only=True)
        model = (build or build_cnn)(**content["settings"])
        model.load_state_dict(content["state"])
        return model.eval(), list(content["classes"])
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ModelFileError(f"{path}: {error}") from error


@mistake("load_model", "`build` is not used: the model is whatever build_cnn makes.")
def load_builds_cnn(path, build=None):
    return _load(path, build_cnn)


# --- foreign pictures


def _preprocess(
    image, size, *, turn=True, alpha="black", bars="both", antialias=True, scale=None, squeeze=False
):
    if isinstance(image, bytes):
        try:
            with Image.open(io.BytesIO(image)) as opened:
                opened = ImageOps.exif_transpose(opened) if turn else opened
                image = np.asarray(opened.convert("RGBA"))
        except (OSError, SyntaxError) as error:
            raise ValueError(str(error)) from error
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise ValueError("dtype")
    image = image[:, :, None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ValueError("shape")
    pixels = torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)
    if scale is None:
        scale = 255 if image.dtype == np.uint8 else 1
    pixels = pixels / (scale(image) if callable(scale) else scale)
    if len(pixels) == 4:
        opaque = pixels[3] if alpha != "dropped" else torch.ones_like(pixels[3])
        pixels = pixels[:3] * opaque + (1 - opaque if alpha == "white" else 0)
    height, width = pixels.shape[1:]
    if squeeze:
        return v2.functional.resize(pixels, [size, size], antialias=antialias).expand(3, -1, -1)
    side = min(height, width) if bars == "cropped" else max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    if bars == "one":
        top = left = 0
    if bars == "cropped":
        pixels = pixels[:, -top : -top + side, -left : -left + side]
    else:
        fill = 1.0 if bars == "white" else 0.0
        edges = (left, side - width - left, top, side - height - top)
        pixels = F.pad(pixels, edges, value=fill)
    return v2.functional.resize(pixels, [size, size], antialias=antialias).expand(3, -1, -1)


@mistake("preprocess", "The note in the file that says how to turn the photograph (EXIF) is ignored.")
def preprocess_ignores_exif(image, size=SIZE):
    return _preprocess(image, size, turn=False)


@mistake(
    "preprocess",
    "The alpha channel is dropped: what is transparent shows whatever colour lay under it.",
    family="scaled",
)
def preprocess_drops_alpha(image, size=SIZE):
    return _preprocess(image, size, alpha="dropped")


@mistake(
    "preprocess", "What is transparent becomes white: the training pictures are on black.", family="shifted"
)
def preprocess_on_white(image, size=SIZE):
    return _preprocess(image, size, alpha="white")


@mistake("preprocess", "The picture is squeezed into a square: thin fingers get thinner. Add bars first.")
def preprocess_squeezes(image, size=SIZE):
    return _preprocess(image, size, squeeze=True)


@mistake("preprocess", "A square is cut out of the middle: what is outside is lost. Add bars instead.")
def preprocess_crops(image, size=SIZE):
    return _preprocess(image, size, bars="cropped")


@mistake("preprocess", "The bar stands on one side only: half of it belongs on the other.")
def preprocess_one_bar(image, size=SIZE):
    return _preprocess(image, size, bars="one")


@mistake(
    "preprocess",
    "The bars are white: they should be black, as the ground of the training pictures.",
    family="shifted",
)
def preprocess_white_bars(image, size=SIZE):
    return _preprocess(image, size, bars="white")


@mistake("preprocess", "Without antialiasing fine lines fall through the grid.")
def preprocess_without_antialias(image, size=SIZE):
    return _preprocess(image, size, antialias=False)


@mistake(
    "preprocess", "Floats are divided by 255 as well: they are between 0 and 1 already.", family="scaled"
)
def preprocess_divides_floats(image, size=SIZE):
    return _preprocess(image, size, scale=255)


@mistake("preprocess", "Bytes are not divided by 255.", family="scaled")
def preprocess_keeps_bytes(image, size=SIZE):
    return _preprocess(image, size, scale=1)


@mistake(
    "preprocess",
    "Every picture is divided by its own maximum: a dark one becomes a bright one.",
    family="scaled",
)
def preprocess_stretches(image, size=SIZE):
    return _preprocess(image, size, scale=lambda pixels: max(float(pixels.max()), 1e-9))


@mistake("preprocess", "Grey pictures keep one channel: the network wants three.")
def preprocess_keeps_grey(image, size=SIZE):
    result = right_preprocess(image, size)
    grey = not isinstance(image, bytes) and (image.ndim == 2 or image.shape[2] == 1)
    return result[:1] if grey else result


@mistake("preprocess", "Red and blue are exchanged (BGR, as OpenCV has it).", family="reversed")
def preprocess_bgr(image, size=SIZE):
    return right_preprocess(image, size).flip(0)


@mistake("preprocess", "The channels come last: PyTorch wants them first.", family="transposed")
def preprocess_channels_last(image, size=SIZE):
    return right_preprocess(image, size).permute(1, 2, 0)


@mistake(
    "preprocess",
    "Height and width are exchanged: the picture is mirrored along its diagonal.",
    family="transposed",
)
def preprocess_transposes(image, size=SIZE):
    return right_preprocess(image, size).mT


@mistake("preprocess", "Values are shifted to -1 to 1: the network was trained on 0 to 1.")
def preprocess_normalises(image, size=SIZE):
    return 2 * right_preprocess(image, size) - 1


@mistake("preprocess", "Bytes that are no picture raise PIL's own error: a ValueError was asked for.")
def preprocess_leaks_errors(image, size=SIZE):
    if isinstance(image, bytes):
        with Image.open(io.BytesIO(image)) as opened:
            image = np.asarray(ImageOps.exif_transpose(opened).convert("RGBA"))
    return right_preprocess(image, size)


@mistake("preprocess", "Integers of any kind are divided by 255: only uint8 says that 255 is white.")
def preprocess_takes_integers(image, size=SIZE):
    if not isinstance(image, bytes) and image.dtype.kind in "iub" and image.dtype != np.uint8:
        image = image.astype(np.uint8)
    return right_preprocess(image, size)


@mistake("preprocess", "The result is float64: the network's weights are float32.")
def preprocess_double(image, size=SIZE):
    return right_preprocess(image, size).double()


# --- answers


def _predict(model, pictures, batch_size, *, eval_mode=True, restore=True, drop=False, grad=False):
    mode = model.training
    if eval_mode:
        model.eval()
    batches = pictures.split(batch_size)
    if drop and len(batches) > 1 and len(batches[-1]) < batch_size:
        batches = batches[:-1]
    with torch.set_grad_enabled(grad):
        logits = torch.cat([model(batch) for batch in batches])
    if restore:
        model.train(mode)
    return logits


def _answers(logits, dim=1):
    most, labels = logits.softmax(dim=dim).max(dim=1)
    return labels, most


@mistake("predict", "The model stays in training mode: the answer depends on the batch, and on dice.")
def predict_in_training_mode(model, pictures, batch_size=64):
    return _answers(_predict(model, pictures, batch_size, eval_mode=False))


@mistake("predict", "The model is left in eval mode: it came in another one.")
def predict_leaves_eval(model, pictures, batch_size=64):
    return _answers(_predict(model, pictures, batch_size, restore=False))


@mistake("predict", "The model is in training mode afterwards, whatever it was in before.")
def predict_leaves_training(model, pictures, batch_size=64):
    answers = _answers(_predict(model, pictures, batch_size))
    model.train()
    return answers


@mistake("predict", "All pictures are put through at once: batch_size is not used.")
def predict_all_at_once(model, pictures, batch_size=64):
    return _answers(_predict(model, pictures, len(pictures)))


@mistake("predict", "The last batch is left out where it is not full.", family="offset")
def predict_drops_last(model, pictures, batch_size=64):
    return _answers(_predict(model, pictures, batch_size, drop=True))


@mistake("predict", "The largest logit is returned for the probability: the softmax is missing.")
def predict_logits(model, pictures, batch_size=64):
    most, labels = _predict(model, pictures, batch_size).max(dim=1)
    return labels, most


@mistake("predict", "The softmax runs over the pictures of the batch: it is over the classes.")
def predict_softmax_over_batch(model, pictures, batch_size=64):
    logits = _predict(model, pictures, batch_size)
    probabilities = torch.cat([part.softmax(dim=0) for part in logits.split(batch_size)])
    return logits.argmax(dim=1), probabilities.max(dim=1).values


@mistake("predict", "The softmax is taken twice: the probabilities come out too even.")
def predict_softmax_twice(model, pictures, batch_size=64):
    logits = _predict(model, pictures, batch_size)
    return logits.argmax(dim=1), logits.softmax(dim=1).softmax(dim=1).max(dim=1).values


@mistake(
    "predict", "Gradients are recorded, which keeps the maps of all batches in memory: use torch.no_grad()."
)
def predict_with_gradients(model, pictures, batch_size=64):
    return _answers(_predict(model, pictures, batch_size, grad=True))


@mistake("predict", "Labels and probabilities are exchanged.")
def predict_exchanged(model, pictures, batch_size=64):
    return right_predict(model, pictures, batch_size)[::-1]


@mistake("predict", "The least likely class is returned.")
def predict_least_likely(model, pictures, batch_size=64):
    least, labels = _predict(model, pictures, batch_size).softmax(dim=1).min(dim=1)
    return labels, least
