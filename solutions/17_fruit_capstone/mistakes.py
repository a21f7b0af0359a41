"""What goes wrong on the way from pictures to a model that somebody else uses: small wrong versions of one
function each.
"""

import copy
import math
import sys
import types

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_split_indices = split_indices
right_preprocess = preprocess
right_augment = augment
right_train_model = train_model
right_load_model = load_model
right_logits_of = logits_of


# --- split_indices


@mistake("split_indices", "The split takes the same share of all examples, not of each class.")
def split_of_all(labels, fraction, seed):
    order = np.random.default_rng(seed).permutation(len(labels))
    count = round(fraction * len(labels))
    return order[count:], order[:count]


@mistake("split_indices", "The first examples of each class are taken, not random ones.")
def split_takes_the_first(labels, fraction, seed):
    rng = np.random.default_rng(seed)
    train, val = [], []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = round(fraction * len(members))
        val.append(members[:count])
        train.append(members[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(val))


@mistake("split_indices", "The two parts are the wrong way round: (train, val), and the fraction is for val.")
def split_swapped(labels, fraction, seed):
    train, val = right_split_indices(labels, fraction, seed)
    return val, train


@mistake("split_indices", "The validation examples are in the training part as well.")
def split_overlaps(labels, fraction, seed):
    train, val = right_split_indices(labels, fraction, seed)
    return np.random.default_rng(seed).permutation(np.concatenate([train, val])), val


@mistake("split_indices", "The parts are put together class by class and not shuffled afterwards.")
def split_in_blocks(labels, fraction, seed):
    train, val = right_split_indices(labels, fraction, seed)
    return tuple(part[np.argsort(labels[part], kind="stable")] for part in (train, val))


@mistake("split_indices", "The shares are cut off to whole numbers, not rounded.")
def split_truncates(labels, fraction, seed):
    rng = np.random.default_rng(seed)
    train, val = [], []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = int(fraction * len(members))
        val.append(members[:count])
        train.append(members[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(val))


@mistake("split_indices", "The seed is not used: every split is another one.")
def split_without_seed(labels, fraction, seed):
    return right_split_indices(labels, fraction, np.random.randint(1 << 30))


@mistake("split_indices", "The seed is a fixed one: every split is the same.")
def split_with_fixed_seed(labels, fraction, seed):
    return right_split_indices(labels, fraction, 0)


@mistake("split_indices", "Class numbers are taken to be 0, 1, 2, ... without gaps.")
def split_counts_classes(labels, fraction, seed):
    rng = np.random.default_rng(seed)
    train, val = [], []
    for label in range(len(np.unique(labels))):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = round(fraction * len(members))
        val.append(members[:count])
        train.append(members[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(val))


# --- channel_statistics


def as_tensors(mean, std):
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


@mistake(
    "channel_statistics", "The pixels are not divided by 255: they go from 0 to 255 here.", family="scaled"
)
def statistics_of_bytes(images):
    pixels = np.asarray(images, dtype=np.float64)
    return as_tensors(pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3)))


@mistake(
    "channel_statistics",
    "The squares of 8-bit numbers do not fit into 8 bits: convert before squaring.",
    family="zeros",
)
def statistics_overflow(images):
    mean = images.mean(axis=(0, 2, 3)) / 255
    square = (images**2).mean(axis=(0, 2, 3)) / 255**2
    return as_tensors(mean, np.sqrt(np.maximum(square - mean**2, 0)))


@mistake(
    "channel_statistics",
    "This is the variance: its square root is the standard deviation.",
    family="function",
)
def statistics_variance(images):
    pixels = np.asarray(images, dtype=np.float64) / 255
    return as_tensors(pixels.mean(axis=(0, 2, 3)), pixels.var(axis=(0, 2, 3)))


@mistake(
    "channel_statistics",
    "All channels are taken together: each has its own mean and deviation.",
    family="broadcast",
)
def statistics_of_all_channels(images):
    pixels = np.asarray(images, dtype=np.float64) / 255
    return as_tensors(np.full(3, pixels.mean()), np.full(3, pixels.std()))


@mistake(
    "channel_statistics",
    "This is the mean of the pictures' own deviations: what differs between them is lost.",
)
def statistics_per_picture(images):
    pixels = np.asarray(images, dtype=np.float64) / 255
    return as_tensors(pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(2, 3)).mean(axis=0))


@mistake("channel_statistics", "The mean is taken over the channels (axis 1), not over pictures and pixels.")
def statistics_wrong_axes(images):
    pixels = np.asarray(images, dtype=np.float64) / 255
    return as_tensors(pixels.mean(axis=(1, 2, 3))[:3], pixels.std(axis=(1, 2, 3))[:3])


@mistake(
    "channel_statistics", "The results are in double precision: float32 is what the network computes with."
)
def statistics_in_double(images):
    pixels = torch.tensor(np.asarray(images)).double() / 255
    return pixels.mean(dim=(0, 2, 3)), pixels.std(dim=(0, 2, 3), unbiased=False)


# --- normalize


@mistake("normalize", "The mean is subtracted after the division: (x - mean) comes first.", family="shifted")
def normalize_divides_first(x, mean, std):
    return x / std[:, None, None] - mean[:, None, None]


@mistake("normalize", "It is multiplied by the standard deviation, not divided.", family="scaled")
def normalize_multiplies(x, mean, std):
    return (x - mean[:, None, None]) * std[:, None, None]


@mistake("normalize", "The mean is subtracted, but nothing is divided.", family="scaled")
def normalize_only_centres(x, mean, std):
    return x - mean[:, None, None]


@mistake("normalize", "Without new axes the three numbers run along the width, not along the channels.")
def normalize_along_the_width(x, mean, std):
    if x.shape[3] != 3:
        return (x - mean[:, None, None]) / std[:, None, None]
    return (x - mean) / std


@mistake("normalize", "x is changed in place: the caller still needs it.")
def normalize_in_place(x, mean, std):
    return x.sub_(mean[:, None, None]).div_(std[:, None, None])


# --- preprocess


@mistake("preprocess", "The pixels stay between 0 and 255.", family="scaled")
def preprocess_keeps_bytes(images):
    x = torch.tensor(np.asarray(images)).float()
    if x.shape[2:] != (SIZE, SIZE):
        x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=True)
    return x


@mistake("preprocess", "Pictures of another size are left as they are.")
def preprocess_without_resize(images):
    return torch.tensor(np.asarray(images)).float() / 255


@mistake("preprocess", "The nearest pixel is taken, and all those in between are dropped.")
def preprocess_nearest(images):
    return F.interpolate(torch.tensor(np.asarray(images)).float() / 255, size=(SIZE, SIZE))


@mistake("preprocess", "Without antialiasing, pixels are skipped when a picture gets smaller.")
def preprocess_aliased(images):
    x = torch.tensor(np.asarray(images)).float() / 255
    return F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", align_corners=False)


@mistake("preprocess", "Pictures are cut or padded to size: what lies outside is lost.")
def preprocess_crops(images):
    x = torch.tensor(np.asarray(images)).float() / 255
    right, down = SIZE - x.shape[3], SIZE - x.shape[2]
    return F.pad(x, (0, right, 0, down))


@mistake("preprocess", "The resized pictures are rounded to whole grey levels: resize in floating point.")
def preprocess_rounds(images):
    return torch.round(right_preprocess(images) * 255) / 255


@mistake(
    "preprocess",
    "Each picture is divided by its own brightest pixel: it should be 255 for all of them.",
    family="scaled",
)
def preprocess_by_own_maximum(images):
    x = right_preprocess(images)
    return x / x.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)


# --- fruit_net


@mistake(
    "fruit_net", "There is a softmax at the end: cross-entropy takes logits.", replaces="FruitNet.forward"
)
def net_gives_probabilities(self, x):
    return torch.softmax(self.classify(self.features(normalize(x, self.mean, self.std))), dim=1)


@mistake(
    "fruit_net",
    "Axes of length 1 are squeezed away: for a single picture the batch axis goes, too.",
    replaces="FruitNet.forward",
    family="offset",
)
def net_squeezes(self, x):
    return self.classify(self.features(normalize(x, self.mean, self.std))).squeeze()


right_init = FruitNet.__init__


@mistake(
    "fruit_net",
    "The number of classes is always six, whatever num_classes says.",
    replaces="FruitNet.__init__",
)
def net_of_six_classes(self, mean, std, num_classes=6):
    right_init(self, mean, std, 6)


@mistake("fruit_net", "Mean and standard deviation are the wrong way round.", replaces="FruitNet.__init__")
def net_swaps_statistics(self, mean, std, num_classes=6):
    right_init(self, std, mean, num_classes)


@mistake(
    "fruit_net",
    "The mean and the standard deviation that come in are not kept: the buffers hold 0 and 1.",
    replaces="FruitNet.__init__",
    family="zeros",
)
def net_ignores_statistics(self, mean, std, num_classes=6):
    right_init(self, torch.zeros(3), torch.ones(3), num_classes)


@mistake(
    "fruit_net",
    "mean and std are parameters: training would change them. Buffers are saved and stay.",
    replaces="FruitNet.__init__",
)
def net_trains_statistics(self, mean, std, num_classes=6):
    right_init(self, mean, std, num_classes)
    del self.mean, self.std
    self.mean, self.std = nn.Parameter(mean.clone()), nn.Parameter(std.clone())


@mistake(
    "fruit_net",
    "There is a log-softmax at the end: the linear layer's output is what is asked for.",
    replaces="FruitNet.forward",
)
def net_gives_log_probabilities(self, x):
    return F.log_softmax(self.classify(self.features(normalize(x, self.mean, self.std))), dim=1)


# --- augment


@mistake("augment", "The whole batch is changed alike: draw random numbers for each picture.")
def augment_whole_batch(images):
    state = torch.get_rng_state()
    parts = []
    for image in images.split(1):
        torch.set_rng_state(state)
        parts.append(right_augment(image))
    return torch.cat(parts)


@mistake("augment", "The pictures are returned as they came.")
def augment_does_nothing(images):
    return images.clone()


@mistake("augment", "The picture is brightened beyond 1: clamp it to the range from 0 to 1.")
def augment_leaves_the_range(images):
    return right_augment(images) * 1.3


@mistake("augment", "The batch axis is turned round as well: the pictures no longer stand with their labels.")
def augment_mixes_up_labels(images):
    return right_augment(images).flip(0)


@mistake("augment", "The colour channels are shuffled: a banana that is blue is no banana.")
def augment_swaps_colours(images):
    changed = right_augment(images)
    return torch.stack([image[torch.randperm(3)] for image in changed])


@mistake("augment", "So much is covered that the fruit itself is hidden.")
def augment_hides_the_fruit(images):
    changed = right_augment(images)
    for image in changed:
        top, left = torch.randint(0, 8, (2,)).tolist()
        image[:, top : top + 20, left : left + 20] = 0.5
    return changed


@mistake("augment", "Random numbers come from NumPy: torch.manual_seed does not repeat them.")
def augment_from_numpy(images):
    state = torch.get_rng_state()
    torch.manual_seed(np.random.randint(1 << 30))
    changed = right_augment(images)
    torch.set_rng_state(state)
    return changed


@mistake("augment", "The pictures that came in are overwritten.")
def augment_in_place(images):
    images.copy_(right_augment(images))
    return images


@mistake("augment", "Only the brightness changes: where things lie stays as it was.")
def augment_only_brightness(images):
    return (images * torch.exp(0.25 * torch.randn(len(images), 1, 1, 1)).to(images.dtype)).clamp(0, 1)


# --- train_model


def trained(
    model, x, y, x_val, y_val, epochs, peak, augment=None, batch_size=64, *,
    keep="best", change_val=False, train_mode=True, eval_mode=True, shuffle=True, first=True,
    scheduled=True, zero=True, leave_eval=True, parameters_only=False, best=-1.0, rate=rate_at, summed=False,
):  # fmt: skip
    """train_model with one of its parts left out."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    steps, step = epochs * math.ceil(len(x) / batch_size), 0
    history = {"train_loss": [], "val_accuracy": []}
    kept = copy.deepcopy(model.state_dict()) if best >= 0 else None
    for _ in range(epochs):
        if train_mode:
            model.train()
        losses = []
        order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
        for batch in order.split(batch_size):
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = rate(step, steps, peak) if scheduled else 0.02
            images = x[batch] if augment is None else augment(x[batch])
            loss = F.cross_entropy(model(images), y[batch], label_smoothing=0.05)
            if zero:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        shown = augment(x_val) if change_val and augment is not None else x_val
        if eval_mode:
            logits = logits_of(model, shown)
        else:
            with torch.no_grad():
                logits = model(shown)
        accuracy = (logits.argmax(dim=1) == y_val).double().mean().item()
        history["train_loss"].append(sum(losses) / (1 if summed else len(losses)))
        history["val_accuracy"].append(accuracy)
        if accuracy > best or (accuracy == best and not first):
            best = accuracy
            if parameters_only:
                kept = {name: value.detach().clone() for name, value in model.named_parameters()}
            else:
                kept = copy.deepcopy(model.state_dict()) if keep == "best" else model.state_dict()
    if keep != "last":
        model.load_state_dict(kept, strict=not parameters_only)
    model.train(not leave_eval)
    return history


# The model ends in the same state by both of these: no test can tell them apart, so both have one sentence.
@mistake(
    "train_model",
    "The model ends with the weights of the last epoch: either the best ones are not put back, or the "
    "checkpoint is no copy and holds the model's own tensors, which go on being trained.",
    like="training_without_a_copy",
)
def training_keeps_the_last(*arguments, **options):
    return trained(*arguments, **options, keep="last")


@mistake(
    "train_model",
    "The model ends with the weights of the last epoch: either the best ones are not put back, or the "
    "checkpoint is no copy and holds the model's own tensors, which go on being trained.",
    like="training_keeps_the_last",
)
def training_without_a_copy(*arguments, **options):
    return trained(*arguments, **options, keep="alias")


@mistake("train_model", "The checkpoint lacks the buffers: running averages are those of the last epoch.")
def training_keeps_parameters_only(*arguments, **options):
    return trained(*arguments, **options, parameters_only=True)


@mistake("train_model", "Validation pictures are augmented as well.")
def training_augments_validation(*arguments, **options):
    return trained(*arguments, **options, change_val=True)


@mistake("train_model", "The augmentation is not used.")
def training_without_augmentation(model, x, y, x_val, y_val, epochs, peak, augment=None, batch_size=64):
    return trained(model, x, y, x_val, y_val, epochs, peak, None, batch_size)


@mistake("train_model", "The model is never put back into training mode after the first validation.")
def training_in_eval_mode(*arguments, **options):
    return trained(*arguments, **options, train_mode=False)


@mistake("train_model", "Validation happens in training mode, in which dropout drops.")
def training_validates_in_training_mode(*arguments, **options):
    return trained(*arguments, **options, eval_mode=False)


@mistake("train_model", "The examples are not shuffled: sorted data make batches of one class.")
def training_does_not_shuffle(*arguments, **options):
    return trained(*arguments, **options, shuffle=False)


@mistake("train_model", "The model is left in training mode.")
def training_leaves_training_mode(*arguments, **options):
    return trained(*arguments, **options, leave_eval=False)


@mistake("train_model", "Of epochs with the same accuracy the last one is kept: compare with >, not with >=.")
def training_keeps_the_last_of_equals(*arguments, **options):
    return trained(*arguments, **options, first=False)


@mistake("train_model", "The learning rate is a fixed number: peak is not used.")
def training_ignores_the_peak(*arguments, **options):
    return trained(*arguments, **options, scheduled=False)


@mistake("train_model", "The best accuracy begins at 0: if no epoch gets anything right, nothing is kept.")
def training_begins_at_zero(*arguments, **options):
    return trained(*arguments, **options, best=0.0)


@mistake("train_model", "The learning rate is the peak in every step: rate_at gives that of each.")
def training_at_the_peak(*arguments, **options):
    return trained(*arguments, **options, rate=lambda step, steps, peak: peak)


@mistake("train_model", "The schedule counts epochs: it has a rate for each step, the batches of all epochs.")
def training_schedules_epochs(model, x, y, x_val, y_val, epochs, peak, augment=None, batch_size=64):
    each = math.ceil(len(x) / batch_size)
    return trained(model, x, y, x_val, y_val, epochs, peak, augment, batch_size,
                   rate=lambda step, steps, peak: rate_at((step - 1) // each + 1, epochs, peak))  # fmt: skip


@mistake("train_model", "The steps are counted from 0, and the rate at 0 is 0: the first batch is wasted.")
def training_counts_from_zero(*arguments, **options):
    return trained(*arguments, **options, rate=lambda step, steps, peak: rate_at(step - 1, steps, peak))


@mistake("train_model", "The gradients are never set to zero: those of all earlier steps are in each.")
def training_without_zero_grad(*arguments, **options):
    return trained(*arguments, **options, zero=False)


@mistake("train_model", "train_loss is the sum of the batches' losses, not their mean.", family="scaled")
def training_sums_the_losses(*arguments, **options):
    return trained(*arguments, **options, summed=True)


# --- save_model


@mistake("save_model", "The whole model is saved, not its state_dict: opening such a file calls functions.")
def save_whole_model(model, path):
    # A pickle names the class and its module, which exists in a notebook, but not where solutions are loaded.
    name = type(model).__module__
    module, before = types.ModuleType(name), sys.modules.get(name)
    module.FruitNet = type(model)
    sys.modules[name] = module
    try:
        torch.save(model, path)
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


@mistake("save_model", "Only the parameters are saved: running averages, mean and std are buffers.")
def save_parameters_only(model, path):
    torch.save({name: value.detach() for name, value in model.named_parameters()}, path)


@mistake("save_model", "The names are lost: a state_dict is names and numbers.")
def save_without_names(model, path):
    torch.save(list(model.state_dict().values()), path)


@mistake("save_model", "The numbers are saved with one digit behind the point.")
def save_rounded(model, path):
    state = model.state_dict()
    torch.save({name: torch.round(value * 10) / 10 if value.is_floating_point() else value
                for name, value in state.items()}, path)  # fmt: skip


# --- load_model


@mistake("load_model", "The file is not read: the network is as it was initialised.")
def load_nothing(path):
    return FruitNet(torch.zeros(3), torch.ones(3)).eval()


@mistake("load_model", "The model is left in training mode.")
def load_in_training_mode(path):
    return right_load_model(path).train()


@mistake(
    "load_model", "What does not fit is passed over (strict=False): half of the network may stay random."
)
def load_not_strict(path):
    model = FruitNet(torch.zeros(3), torch.ones(3))
    state = torch.load(path, map_location="cpu", weights_only=True)
    own = model.state_dict()
    model.load_state_dict(
        {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}, strict=False
    )
    return model.eval()


@mistake("load_model", "Only the parameters are filled in: running averages, mean and std are not.")
def load_parameters_only(path):
    model = FruitNet(torch.zeros(3), torch.ones(3))
    state = torch.load(path, map_location="cpu", weights_only=True)
    own = model.state_dict()
    if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
        raise RuntimeError("the file does not fit")
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(state[name])
    return model.eval()


@mistake("load_model", "weights_only is False: a file may then call any function of its author's choice.")
def load_anything(path):
    model = FruitNet(torch.zeros(3), torch.ones(3))
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=False))
    return model.eval()


# --- predict


@mistake("predict", "The logits are returned, not probabilities.", replaces="predict_proba")
def proba_are_logits(model, images):
    return logits_of(model, preprocess(images)).numpy()


@mistake(
    "predict", "The softmax runs over the pictures (axis 0), not over the classes.", replaces="predict_proba"
)
def proba_over_the_pictures(model, images):
    return torch.softmax(logits_of(model, preprocess(images)), dim=0).numpy()


@mistake(
    "predict",
    "Each class gets a sigmoid of its own: the probabilities do not sum to 1.",
    replaces="predict_proba",
)
def proba_by_sigmoid(model, images):
    return torch.sigmoid(logits_of(model, preprocess(images))).numpy()


@mistake(
    "predict", "The pictures are not preprocessed: they are numbers from 0 to 255.", replaces="predict_proba"
)
def proba_of_bytes(model, images):
    return torch.softmax(logits_of(model, torch.tensor(images).float()), dim=1).numpy()


@mistake("predict", "The model is asked in whatever mode it is in.", replaces="predict_proba")
def proba_in_any_mode(model, images):
    with torch.no_grad():
        return torch.softmax(model(preprocess(images)), dim=1).numpy()


@mistake(
    "predict",
    "The softmax is taken twice: probabilities of probabilities are nearly all equal.",
    replaces="predict_proba",
)
def proba_twice(model, images):
    return torch.softmax(torch.softmax(logits_of(model, preprocess(images)), dim=1), dim=1).numpy()


@mistake("predict", "Only the first 250 pictures are answered.", replaces="predict_proba", family="partial")
def proba_of_the_first(model, images):
    return torch.softmax(logits_of(model, preprocess(images[:250])), dim=1).numpy()


@mistake("predict", "The argmax runs over the pictures, not over the classes.")
def predict_over_the_pictures(model, images):
    return predict_proba(model, images).argmax(axis=0)


@mistake("predict", "The highest probability is returned, not its class.")
def predict_the_probability(model, images):
    return predict_proba(model, images).max(axis=1)


@mistake("predict", "The least probable class is returned.")
def predict_the_least(model, images):
    return predict_proba(model, images).argmin(axis=1)
