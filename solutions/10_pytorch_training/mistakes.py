"""What goes wrong in training with PyTorch: small wrong versions of one function each, with explanations.

Most of them raise no error and train all the same; that is what makes them expensive.
"""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_dataset_init = ImageDataset.__init__
right_make_loaders = make_loaders
right_num_correct = num_correct
right_build_mlp = build_mlp
right_warmup_cosine = warmup_cosine
right_digit_classifier = digit_classifier


# --- data


@mistake(
    "image_dataset",
    "The axis of the channel is missing: an image has the shape (1, H, W).",
    replaces="ImageDataset.__getitem__",
    family="reshaped",
)
def dataset_without_channel(self, i):
    return self.images[i][0], self.labels[i]


@mistake(
    "image_dataset",
    "The mean is subtracted after the division: subtract first, then divide.",
    replaces="ImageDataset.__init__",
    family="shifted",
)
def dataset_divides_first(self, images, labels, mean=0.0, std=1.0):
    right_dataset_init(self, images, labels)
    self.images = self.images / std - mean


@mistake(
    "image_dataset",
    "The images are not standardised: mean and std are not used.",
    replaces="ImageDataset.__init__",
)
def dataset_not_standardised(self, images, labels, mean=0.0, std=1.0):
    right_dataset_init(self, images, labels)


@mistake(
    "image_dataset",
    "Each image is standardised with its own mean and deviation, and not with the numbers handed in.",
    replaces="ImageDataset.__init__",
)
def dataset_uses_own_statistics(self, images, labels, mean=0.0, std=1.0):
    right_dataset_init(self, images, labels)
    deviation = self.images.std(dim=(1, 2, 3), keepdim=True)
    self.images = (self.images - self.images.mean(dim=(1, 2, 3), keepdim=True)) / deviation


@mistake(
    "image_dataset",
    "The images are float64: a network's weights are float32, and the two do not mix.",
    replaces="ImageDataset.__getitem__",
)
def dataset_in_double(self, i):
    return self.images[i].double(), self.labels[i]


@mistake(
    "image_dataset",
    "The label is a one-hot vector: cross_entropy takes the number of the class, as int64.",
    replaces="ImageDataset.__getitem__",
)
def dataset_one_hot_labels(self, i):
    return self.images[i], F.one_hot(self.labels[i], 10)


@mistake(
    "image_dataset",
    "The image is standardised in place each time it is asked for: the second time it is another one.",
    replaces="ImageDataset.__getitem__",
    family="shifted",
)
def dataset_changes_in_place(self, i):
    image = self.images[i].clone()
    self.images[i] -= 0.5
    return image, self.labels[i]


@mistake(
    "image_dataset",
    "len(dataset) counts the pixels of an image: it should count the examples.",
    replaces="ImageDataset.__len__",
)
def dataset_counts_pixels(self):
    return self.images[0].numel()


@mistake("make_loaders", "The training examples are not shuffled: shuffle=True belongs to their loader.")
def loaders_not_shuffled(dataset, num_val, batch_size, seed):
    train, val = right_make_loaders(dataset, num_val, batch_size, seed)
    return DataLoader(train.dataset, batch_size), val


@mistake(
    "make_loaders", "The validation examples are shuffled: they should come in the same order each time."
)
def loaders_shuffle_validation(dataset, num_val, batch_size, seed):
    train, val = right_make_loaders(dataset, num_val, batch_size, seed)
    generator = torch.Generator().manual_seed(seed)
    return train, DataLoader(val.dataset, batch_size, shuffle=True, generator=generator)


@mistake(
    "make_loaders", "The last, short batch is dropped, and with it examples in each epoch: drop_last is True."
)
def loaders_drop_last(dataset, num_val, batch_size, seed):
    train, val = right_make_loaders(dataset, num_val, batch_size, seed)
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(train.dataset, batch_size, shuffle=True, generator=generator, drop_last=True), val


@mistake(
    "make_loaders",
    "The first num_val examples are the validation part. Data are often sorted: draw them at random.",
)
def loaders_split_in_order(dataset, num_val, batch_size, seed):
    generator = torch.Generator().manual_seed(seed)
    indices = list(range(len(dataset)))
    train, val = Subset(dataset, indices[num_val:]), Subset(dataset, indices[:num_val])
    return DataLoader(train, batch_size, shuffle=True, generator=generator), DataLoader(val, batch_size)


@mistake(
    "make_loaders",
    "The validation examples are among the training examples too: what is measured on them says nothing.",
)
def loaders_overlap(dataset, num_val, batch_size, seed):
    _, val = right_make_loaders(dataset, num_val, batch_size, seed)
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(dataset, batch_size, shuffle=True, generator=generator), val


@mistake("make_loaders", "The two parts are exchanged: num_val is the size of the validation part.")
def loaders_exchanged(dataset, num_val, batch_size, seed):
    return right_make_loaders(dataset, len(dataset) - num_val, batch_size, seed)


@mistake(
    "make_loaders",
    "The order of the training examples does not depend on the seed: the loader has no generator of its own.",
)
def loaders_order_without_seed(dataset, num_val, batch_size, seed):
    train, val = right_make_loaders(dataset, num_val, batch_size, seed)
    return DataLoader(train.dataset, batch_size, shuffle=True), val


@mistake("make_loaders", "The split does not depend on the seed: every seed gives the same one.")
def loaders_always_seed_zero(dataset, num_val, batch_size, seed):
    return right_make_loaders(dataset, num_val, batch_size, 0)


# --- losses


@mistake(
    "binary_loss",
    "Logits (N, 1) and labels (N,) were broadcast to (N, N): each logit meets every label.",
)
def binary_loss_broadcast(logits, labels):
    table = labels.to(logits.dtype).expand(len(labels), len(labels))
    return F.binary_cross_entropy_with_logits(logits.expand(len(labels), len(labels)), table)


@mistake(
    "binary_loss",
    "The sigmoid is applied twice: binary_cross_entropy_with_logits takes the logits as they are.",
)
def binary_loss_two_sigmoids(logits, labels):
    return F.binary_cross_entropy_with_logits(torch.sigmoid(logits[:, 0]), labels.to(logits.dtype))


@mistake("binary_loss", "The losses are added up: they should be averaged over the batch.", family="scaled")
def binary_loss_summed(logits, labels):
    return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype), reduction="sum")


@mistake(
    "binary_loss",
    "log(sigmoid(z)) is -inf for a large negative logit: use the form that takes logits.",
    family="unstable",
)
def binary_loss_unstable(logits, labels):
    p = torch.sigmoid(logits[:, 0])
    y = labels.to(logits.dtype)
    return -(torch.where(y > 0.5, torch.log(p), torch.log(1 - p))).mean()


@mistake(
    "binary_loss",
    "The loss is that of the opposite labels: log p belongs to y = 1, and log(1 - p) to y = 0.",
)
def binary_loss_exchanged(logits, labels):
    return F.binary_cross_entropy_with_logits(logits[:, 0], 1 - labels.to(logits.dtype))


@mistake("binary_loss", "Only the ones are counted: the term (1 - y) log(1 - p) is missing.")
def binary_loss_half(logits, labels):
    return -(labels * F.logsigmoid(logits[:, 0])).mean()


@mistake("binary_loss", "This is the squared error of the probabilities, not the cross-entropy.")
def binary_loss_squared(logits, labels):
    return ((torch.sigmoid(logits[:, 0]) - labels) ** 2).mean()


@mistake("binary_loss", "The loss is a number without a history: .item() cuts off the backward pass.")
def binary_loss_detached(logits, labels):
    return F.binary_cross_entropy_with_logits(logits[:, 0].detach(), labels.to(logits.dtype))


@mistake(
    "num_correct",
    "The logit is compared with 0.5. A probability of one half is a logit of 0.",
)
def num_correct_threshold_half(logits, labels):
    if logits.shape[1] > 1:
        return right_num_correct(logits, labels)
    return int(((logits[:, 0] > 0.5) == labels).sum())


@mistake(
    "num_correct",
    "With one logit the comparison of (N, 1) with (N,) is broadcast to (N, N), and too many are counted.",
)
def num_correct_broadcast(logits, labels):
    if logits.shape[1] > 1:
        return right_num_correct(logits, labels)
    return int(((logits > 0) == labels).sum())


@mistake("num_correct", "With one logit argmax is always 0: ask whether the logit is positive.")
def num_correct_argmax_of_one(logits, labels):
    return int((logits.argmax(dim=1) == labels).sum())


@mistake("num_correct", "The share of right answers is returned: it should be their number.", family="scaled")
def num_correct_share(logits, labels):
    return right_num_correct(logits, labels) / len(labels)


@mistake("num_correct", "The wrong answers are counted.")
def num_correct_counts_wrong(logits, labels):
    return len(labels) - right_num_correct(logits, labels)


@mistake("num_correct", "The smallest logit is taken for the answer.")
def num_correct_argmin(logits, labels):
    return right_num_correct(-logits, labels)


# --- the network


def _layers(model):
    return list(model.children())


@mistake("build_mlp", "There is no ReLU between the linear layers: together they are a single linear layer.")
def mlp_without_relu(sizes, dropout=0.0):
    return nn.Sequential(*[m for m in _layers(right_build_mlp(sizes, dropout)) if not isinstance(m, nn.ReLU)])


@mistake(
    "build_mlp", "The last layer ends in a ReLU: the logits of wrong classes must be free to be negative."
)
def mlp_relu_at_the_end(sizes, dropout=0.0):
    return nn.Sequential(*_layers(right_build_mlp(sizes, dropout)), nn.ReLU())


@mistake("build_mlp", "The last layer ends in a softmax: the loss wants logits and applies it by itself.")
def mlp_softmax_at_the_end(sizes, dropout=0.0):
    return nn.Sequential(*_layers(right_build_mlp(sizes, dropout)), nn.Softmax(dim=1))


@mistake("build_mlp", "The logits are dropped too: there is no dropout after the last layer.")
def mlp_drops_outputs(sizes, dropout=0.0):
    return nn.Sequential(*_layers(right_build_mlp(sizes, dropout)), nn.Dropout(dropout))


@mistake("build_mlp", "The inputs are dropped too: dropout stands after hidden layers only.")
def mlp_drops_inputs(sizes, dropout=0.0):
    flatten, *rest = _layers(right_build_mlp(sizes, dropout))
    return nn.Sequential(flatten, nn.Dropout(dropout), *rest)


@mistake("build_mlp", "There is no dropout, whatever the probability.")
def mlp_without_dropout(sizes, dropout=0.0):
    return right_build_mlp(sizes, 0.0)


@mistake(
    "build_mlp",
    "dropout is used as the probability of keeping a unit: nn.Dropout takes the one of dropping it.",
)
def mlp_keeps_with_p(sizes, dropout=0.0):
    return right_build_mlp(sizes, 1 - dropout if dropout else 0.0)


@mistake("build_mlp", "The linear layers have no bias.")
def mlp_without_bias(sizes, dropout=0.0):
    layers = [
        nn.Linear(m.in_features, m.out_features, bias=False) if isinstance(m, nn.Linear) else m
        for m in _layers(right_build_mlp(sizes, dropout))
    ]
    return nn.Sequential(*layers)


@mistake("build_mlp", "Images are not laid out as rows: begin with nn.Flatten().")
def mlp_without_flatten(sizes, dropout=0.0):
    return nn.Sequential(*_layers(right_build_mlp(sizes, dropout))[1:])


@mistake("build_mlp", "The hidden units are squashed by a sigmoid, not cut off by a ReLU.")
def mlp_with_sigmoid(sizes, dropout=0.0):
    layers = [nn.Sigmoid() if isinstance(m, nn.ReLU) else m for m in _layers(right_build_mlp(sizes, dropout))]
    return nn.Sequential(*layers)


# --- loops


def _train(
    model,
    loader,
    loss_fn,
    optimizer,
    *,
    mode=True,
    zero="each",
    per_example=True,
    after=False,
    every=1,
    divide=1,
):
    """train_epoch with one thing or another left out."""
    if mode is not None:
        model.train(mode)
    total, count, batches = 0.0, 0, 0
    if zero == "epoch":
        optimizer.zero_grad()
    for images, labels in loader:
        loss = loss_fn(model(images), labels)
        if zero == "each":
            optimizer.zero_grad()
        (loss / divide).backward()
        if zero == "late":
            optimizer.zero_grad()
        optimizer.step()
        if after:
            loss = loss_fn(model(images), labels)
        weight = len(labels) if per_example else 1
        total += loss.item() * weight
        count += weight
        batches += 1
        if every == "first":
            break
    return total / count


@mistake(
    "train_epoch",
    "The gradients are never set to zero: backward adds each batch's to those of all batches before.",
    like="train_zero_grad_each_epoch",
)
def train_without_zero_grad(model, loader, loss_fn, optimizer):
    return _train(model, loader, loss_fn, optimizer, zero="never")


@mistake(
    "train_epoch",
    "The gradients are set to zero once for each epoch: it has to be once for each batch.",
    like="train_without_zero_grad",
)
def train_zero_grad_each_epoch(model, loader, loss_fn, optimizer):
    return _train(model, loader, loss_fn, optimizer, zero="epoch")


@mistake(
    "train_epoch",
    "No step is made: optimizer.step() is missing, or zero_grad stands between backward and step.",
)
def train_zero_grad_too_late(model, loader, loss_fn, optimizer):
    return _train(model, loader, loss_fn, optimizer, zero="late")


@mistake("train_epoch", "The model is not set to training mode: call model.train() first.")
def train_without_mode(model, loader, loss_fn, optimizer):
    return _train(model, loader, loss_fn, optimizer, mode=None)


@mistake("train_epoch", "The model is set to eval mode: dropout does not drop while it learns.")
def train_in_eval_mode(model, loader, loss_fn, optimizer):
    return _train(model, loader, loss_fn, optimizer, mode=False)


@mistake(
    "train_epoch",
    "The mean of the batch losses is returned: a short last batch then counts as much as a full one.",
)
def train_mean_of_batches(model, loader, loss_fn, optimizer):
    return _train(model, loader, loss_fn, optimizer, per_example=False)


@mistake("train_epoch", "The sum of the batch losses is returned: divide by the number of examples.")
def train_sum_of_losses(model, loader, loss_fn, optimizer):
    examples = sum(len(labels) for _, labels in loader)
    return _train(model, loader, loss_fn, optimizer) * examples


@mistake("train_epoch", "Only the first batch is used: the return stands inside of the loop.")
def train_first_batch_only(model, loader, loss_fn, optimizer):
    return _train(model, loader, loss_fn, optimizer, every="first")


@mistake(
    "train_epoch",
    "The loss is divided by the batch size before backward, although the loss function averages already.",
)
def train_divides_loss(model, loader, loss_fn, optimizer):
    size = next(len(labels) for _, labels in loader)
    return _train(model, loader, loss_fn, optimizer, divide=size)


@mistake("train_epoch", "The loss is measured after the step: what was asked for is the one before.")
def train_loss_after_step(model, loader, loss_fn, optimizer):
    return _train(model, loader, loss_fn, optimizer, after=True)


def _measure(model, loader, loss_fn, *, mode=False, per_example=True):
    """evaluate with one thing or another left out."""
    if mode is not None:
        model.train(mode)
    total, correct, count, weights = 0.0, 0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            logits = model(images)
            weight = len(labels) if per_example else 1
            total += float(loss_fn(logits, labels)) * weight
            weights += weight
            correct += num_correct(logits, labels)
            count += len(labels)
    return total / weights, correct / count


@mistake(
    "evaluate",
    "The model is not set to eval mode: call model.eval() first.",
    like="evaluate_in_training_mode",
)
def evaluate_without_mode(model, loader, loss_fn):
    return _measure(model, loader, loss_fn, mode=None)


@mistake(
    "evaluate",
    "The model is set to training mode: dropout drops while the accuracy is measured.",
    like="evaluate_without_mode",
)
def evaluate_in_training_mode(model, loader, loss_fn):
    return _measure(model, loader, loss_fn, mode=True)


@mistake(
    "evaluate",
    "The loss is the mean of the batch losses: a short last batch then counts as much as a full one.",
)
def evaluate_mean_of_batches(model, loader, loss_fn):
    return _measure(model, loader, loss_fn, per_example=False)


@mistake("evaluate", "The accuracy is the mean of the batch accuracies: a short last batch counts too much.")
def evaluate_mean_of_accuracies(model, loader, loss_fn):
    loss, _ = _measure(model, loader, loss_fn)
    with torch.no_grad():
        shares = [num_correct(model(images), labels) / len(labels) for images, labels in loader]
    return loss, sum(shares) / len(shares)


@mistake("evaluate", "Accuracy and loss are exchanged: the loss comes first.")
def evaluate_exchanged(model, loader, loss_fn):
    loss, accuracy = _measure(model, loader, loss_fn)
    return accuracy, loss


@mistake(
    "evaluate", "The number of right answers is returned: divide by the number of examples.", family="scaled"
)
def evaluate_counts(model, loader, loss_fn):
    loss, accuracy = _measure(model, loader, loss_fn)
    return loss, accuracy * sum(len(labels) for _, labels in loader)


@mistake("evaluate", "Only the last batch is measured: add up over all of them.")
def evaluate_last_batch(model, loader, loss_fn):
    batches = list(loader)
    return _measure(model, batches[-1:], loss_fn)


@mistake(
    "evaluate",
    "The accuracy divides by the number of batches times the batch size, too much where the last is short.",
)
def evaluate_rounds_up(model, loader, loss_fn):
    loss, accuracy = _measure(model, loader, loss_fn)
    examples = sum(len(labels) for _, labels in loader)
    return loss, accuracy * examples / (len(loader) * loader.batch_size)


# --- rates


@mistake(
    "warmup_cosine",
    "The first rate is 0, and the first epoch is lost: epoch e has (e + 1) / w of the peak.",
    family="partial",
)
def rates_begin_at_zero(num_epochs, warmup, peak, floor=0.0):
    epochs = np.arange(num_epochs)
    return np.where(
        epochs < warmup, peak * epochs / max(warmup, 1), right_warmup_cosine(num_epochs, warmup, peak, floor)
    )


@mistake(
    "warmup_cosine",
    "The cosine does not begin after the warmup: its time is (e - w) / (E - w), not e / E.",
    family="partial",
)
def rates_cosine_from_the_start(num_epochs, warmup, peak, floor=0.0):
    epochs = np.arange(num_epochs)
    falling = floor + (peak - floor) * (1 + np.cos(np.pi * epochs / num_epochs)) / 2
    return np.where(epochs < warmup, right_warmup_cosine(num_epochs, warmup, peak, floor), falling)


@mistake(
    "warmup_cosine", "The floor is added on top, so that the fall begins above the peak.", family="partial"
)
def rates_floor_on_top(num_epochs, warmup, peak, floor=0.0):
    rates = right_warmup_cosine(num_epochs, warmup, peak)
    return np.where(np.arange(num_epochs) < warmup, rates, rates + floor)


@mistake(
    "warmup_cosine",
    "The floor is a lower bound here, where it should be what the cosine falls towards.",
    family="partial",
)
def rates_cut_off_at_floor(num_epochs, warmup, peak, floor=0.0):
    rates = right_warmup_cosine(num_epochs, warmup, peak)
    return np.where(np.arange(num_epochs) < warmup, rates, np.maximum(rates, floor))


@mistake("warmup_cosine", "The rate falls along a straight line, not along half a cosine.", family="partial")
def rates_fall_linearly(num_epochs, warmup, peak, floor=0.0):
    epochs = np.arange(num_epochs)
    falling = peak - (peak - floor) * (epochs - warmup) / max(num_epochs - warmup, 1)
    return np.where(epochs < warmup, right_warmup_cosine(num_epochs, warmup, peak, floor), falling)


@mistake(
    "warmup_cosine",
    "The cosine goes through a whole period, down and up again: its argument ends at pi.",
    family="partial",
)
def rates_whole_period(num_epochs, warmup, peak, floor=0.0):
    epochs = np.arange(num_epochs)
    done = (epochs - warmup) / max(num_epochs - warmup, 1)
    falling = floor + (peak - floor) * (1 + np.cos(2 * np.pi * done)) / 2
    return np.where(epochs < warmup, right_warmup_cosine(num_epochs, warmup, peak, floor), falling)


@mistake("warmup_cosine", "The factor 1/2 is missing: 1 + cos goes from 2 to 0.", family="partial")
def rates_without_half(num_epochs, warmup, peak, floor=0.0):
    rates = right_warmup_cosine(num_epochs, warmup, peak, floor)
    return np.where(np.arange(num_epochs) < warmup, rates, 2 * rates - floor)


@mistake("warmup_cosine", "There is no warming up: the first w epochs have the peak rate.", family="partial")
def rates_without_warmup(num_epochs, warmup, peak, floor=0.0):
    rates = right_warmup_cosine(num_epochs, warmup, peak, floor)
    return np.where(np.arange(num_epochs) < warmup, peak, rates)


@mistake("warmup_cosine", "Warming up begins at the floor: it should begin at 0.", family="partial")
def rates_warm_up_from_floor(num_epochs, warmup, peak, floor=0.0):
    rates = right_warmup_cosine(num_epochs, warmup, peak, floor)
    rising = floor + (peak - floor) * (np.arange(num_epochs) + 1) / max(warmup, 1)
    return np.where(np.arange(num_epochs) < warmup, rising, rates)


# --- fit


def _fit(
    model,
    optimizer,
    run_epoch,
    validate,
    rates,
    patience,
    *,
    copies=copy.deepcopy,
    restore=True,
    extra=0,
    better=lambda loss, accuracy, lowest: loss < lowest,
    resets=True,
    rate_first=True,
    groups=None,
    lowest=math.inf,
    judged="validation",
    against="lowest",
    names=None,
):
    """fit with one thing or another done wrong."""
    history = {"train_loss": [], "val_loss": [], "val_accuracy": [], "best_epoch": 0}
    best_state, waited = copies(model.state_dict()), 0

    def set_rate(rate):
        for group in optimizer.param_groups[:groups]:
            group["lr"] = float(rate)

    for epoch, rate in enumerate(rates):
        if rate_first:
            set_rate(rate)
        train_loss = run_epoch()
        if not rate_first:
            set_rate(rate)
        loss, accuracy = validate()
        history["train_loss"].append(train_loss)
        history["val_loss"].append(loss)
        history["val_accuracy"].append(accuracy)
        waited += 1
        value = {"validation": loss, "training": train_loss, "accuracy": -accuracy}[judged]
        if better(value, accuracy, lowest):
            best_state = copies(model.state_dict())
            history["best_epoch"] = epoch
            lowest = value
            if resets:
                waited = 0
        elif against == "previous":
            lowest = value
        if waited >= patience + extra:
            break
    if restore:
        model.load_state_dict(
            best_state if names is None else {k: v for k, v in best_state.items() if k in names()},
            strict=False,
        )
    return history


@mistake(
    "fit",
    "The model ends with the weights of the last epoch: nothing is put back, or what was kept are the very "
    "tensors that training changes. Copy them: copy.deepcopy(model.state_dict()).",
)
def fit_keeps_references(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, copies=dict)


@mistake("fit", "Training stops one epoch too early: `patience` epochs without a lower loss have to pass.")
def fit_stops_early(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, extra=-1)


@mistake("fit", "Training stops one epoch too late: after `patience` epochs without a lower loss it is over.")
def fit_stops_late(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, extra=1)


@mistake("fit", "There is no early stopping: all epochs are run, whatever the validation loss does.")
def fit_never_stops(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, math.inf)


@mistake("fit", "A lower loss does not set the waiting back: the count of epochs has to begin anew.")
def fit_does_not_reset(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, resets=False)


@mistake("fit", "A loss that only equals the lowest one counts as an improvement.")
def fit_accepts_equal(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(
        model, optimizer, run_epoch, validate, rates, patience,
        better=lambda loss, accuracy, lowest: loss <= lowest,
    )  # fmt: skip


@mistake("fit", "NaN counts as an improvement: `not loss >= lowest` is true for NaN.")
def fit_accepts_nan(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(
        model, optimizer, run_epoch, validate, rates, patience,
        better=lambda loss, accuracy, lowest: not loss >= lowest,
    )  # fmt: skip


@mistake("fit", "A loss is compared with that of the epoch before: it has to be below the lowest of all.")
def fit_compares_with_previous(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, against="previous")


@mistake("fit", "The training loss decides which epoch is the best; it has to be the validation loss.")
def fit_judges_training_loss(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, judged="training")


@mistake("fit", "The accuracy decides which epoch is the best; it has to be the validation loss.")
def fit_judges_accuracy(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, judged="accuracy")


@mistake(
    "fit", "The learning rate is set after the epoch, so that each epoch runs with that of the one before."
)
def fit_sets_rate_late(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, rate_first=False)


@mistake("fit", "Only the first group of the optimizer gets the learning rate: set it in all of them.")
def fit_sets_first_group(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, groups=1)


@mistake("fit", "The learning rates are not used: the optimizer keeps its own.")
def fit_ignores_rates(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, groups=0)


@mistake("fit", "The lowest loss begins at a fixed number that real losses may exceed: begin with infinity.")
def fit_begins_with_a_million(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(model, optimizer, run_epoch, validate, rates, patience, lowest=1e6)


@mistake(
    "fit",
    "Only the parameters are put back. Buffers, such as the running averages of batch normalisation, belong "
    "to the state as well.",
)
def fit_restores_parameters_only(model, optimizer, run_epoch, validate, rates, patience):
    return _fit(
        model, optimizer, run_epoch, validate, rates, patience,
        names=lambda: [name for name, _ in model.named_parameters()],
    )  # fmt: skip


@mistake("fit", "best_epoch counts from 1: epochs are numbered from 0.", family="offset")
def fit_counts_from_one(model, optimizer, run_epoch, validate, rates, patience):
    history = _fit(model, optimizer, run_epoch, validate, rates, patience)
    return history | {"best_epoch": history["best_epoch"] + 1}


# --- random search


def _configs(space, num, seed, *, uniform=None, log=None, choose=None):
    rng = np.random.default_rng(seed)
    uniform = uniform or (lambda low, high: float(rng.uniform(low, high)))
    log = log or (lambda low, high: float(np.exp(rng.uniform(np.log(low), np.log(high)))))
    choose = choose or (lambda items: items[rng.integers(len(items))])

    def draw(choice):
        if isinstance(choice, list):
            return choose(choice)
        return {"log": log, "uniform": uniform}[choice[0]](*choice[1:])

    return [{name: draw(choice) for name, choice in space.items()} for _ in range(num)]


@mistake("random_configs", 'A rate of the kind "log" is drawn evenly itself: draw its logarithm evenly.')
def configs_log_drawn_evenly(space, num, seed):
    rng = np.random.default_rng(seed)
    return _configs(space, num, seed, log=lambda low, high: float(rng.uniform(low, high)))


@mistake("random_configs", "The logarithm is returned: take exp of what was drawn.")
def configs_log_returned(space, num, seed):
    rng = np.random.default_rng(seed)
    return _configs(space, num, seed, log=lambda low, high: float(rng.uniform(np.log(low), np.log(high))))


@mistake("random_configs", "A uniform number lies between 0 and b - a: add a.")
def configs_uniform_from_zero(space, num, seed):
    rng = np.random.default_rng(seed)
    return _configs(space, num, seed, uniform=lambda low, high: float(rng.uniform(0, high - low)))


@mistake("random_configs", "Of a list the last element never comes up: integers(k) ends at k - 1 already.")
def configs_last_never_chosen(space, num, seed):
    rng = np.random.default_rng(seed)
    return _configs(space, num, seed, choose=lambda items: items[rng.integers(max(len(items) - 1, 1))])


@mistake("random_configs", "The generator is made anew for each dict, so that all settings are the same.")
def configs_all_the_same(space, num, seed):
    return [_configs(space, 1, seed)[0] for _ in range(num)]


@mistake("random_configs", "All names of a dict share one random number: each needs a draw of its own.")
def configs_one_draw_for_all(space, num, seed):
    rng = np.random.default_rng(seed)
    configs = []
    for _ in range(num):
        u = rng.random()
        configs.append(
            _configs(
                space, 1, seed,
                uniform=lambda low, high, u=u: float(low + (high - low) * u),
                log=lambda low, high, u=u: float(low * (high / low) ** u),
                choose=lambda items, u=u: items[int(u * len(items))],
            )[0]
        )  # fmt: skip
    return configs


@mistake("random_configs", "The seed is not used: two calls with the same seed give different settings.")
def configs_without_seed(space, num, seed):
    return _configs(space, num, np.random.randint(2**31))


# --- a classifier of one's own


@mistake("digit_classifier", "A linear classifier is too little for hands: it needs a hidden layer.")
def classifier_linear(images, labels, seed):
    torch.manual_seed(seed)
    x, y = torch.tensor(images)[:, None], torch.tensor(labels)
    model = nn.Sequential(nn.InstanceNorm2d(1), nn.Flatten(), nn.Linear(x[0].numel(), int(y.max()) + 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(100):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@mistake(
    "digit_classifier",
    "The images are standardised before they reach the model, and so the model does not know what to do with "
    "pixels from 0 to 1.",
)
def classifier_preprocesses_outside(images, labels, seed):
    return nn.Sequential(*list(right_digit_classifier(images, labels, seed))[1:])


@mistake("digit_classifier", "The model is trained for one epoch only, long before the loss stops falling.")
def classifier_one_epoch(images, labels, seed):
    epochs, RECIPE["epochs"] = RECIPE["epochs"], 1
    try:
        return right_digit_classifier(images, labels, seed)
    finally:
        RECIPE["epochs"] = epochs


@mistake("digit_classifier", "The seed is not used: two calls with equal seeds give different models.")
def classifier_without_seed(images, labels, seed):
    return right_digit_classifier(images, labels, int(torch.randint(0, 2**31, ())))
