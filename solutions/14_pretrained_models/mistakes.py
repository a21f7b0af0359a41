"""What goes wrong with pretrained networks: small wrong versions of one function each."""

import math

import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_resize_and_crop = resize_and_crop
right_standardize = standardize
right_classify = classify
right_top_k = top_k
right_compare_recipes = compare_recipes
right_top_k_accuracy = top_k_accuracy
right_surest_mistakes = surest_mistakes
right_reliability = reliability
right_error = expected_calibration_error
right_fit_temperature = fit_temperature
right_features = features


# --- resize_and_crop


def _pixels(image):
    return torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)


def _middle(pixels, crop):
    top, left = (pixels.shape[1] - crop) // 2, (pixels.shape[2] - crop) // 2
    return pixels[:, top : top + crop, left : left + crop]


def _resized(pixels, size, **options):
    return v2.functional.resize(pixels, size, **{"antialias": True, **options})


def _size(image, resize, by=min):
    return [round(side * resize / by(image.shape[:2])) for side in image.shape[:2]]


@mistake(
    "resize_and_crop",
    "Both sides are resized to the same length: what is not square gets squeezed. The longer side keeps the "
    "proportions.",
)
def resize_squeezes(image, resize=256, crop=224):
    return _middle(_resized(_pixels(image), [resize, resize]), crop)


@mistake("resize_and_crop", "Without antialiasing thin lines fall through the grid: antialias=True.")
def resize_without_antialiasing(image, resize=256, crop=224):
    pixels = F.interpolate(_pixels(image)[None], size=_size(image, resize), mode="bilinear")[0]
    return _middle(pixels, crop)


@mistake("resize_and_crop", "The nearest pixel is taken: interpolate bilinearly, with antialiasing.")
def resize_to_nearest(image, resize=256, crop=224):
    pixels = F.interpolate(_pixels(image)[None], size=_size(image, resize), mode="nearest")[0]
    return _middle(pixels, crop)


@mistake("resize_and_crop", "The crop is the upper left corner: it should be the middle.")
def resize_crops_corner(image, resize=256, crop=224):
    return _resized(_pixels(image), _size(image, resize))[:, :crop, :crop]


@mistake(
    "resize_and_crop", "The picture is resized to `crop` straight away, and nothing is cut off its border."
)
def resize_without_margin(image, resize=256, crop=224):
    return _middle(_resized(_pixels(image), _size(image, crop)), crop)


@mistake(
    "resize_and_crop", "The numbers are divided by 255: here they stay between 0 and 255.", family="scaled"
)
def resize_divides(image, resize=256, crop=224):
    return right_resize_and_crop(image, resize, crop) / 255


@mistake(
    "resize_and_crop",
    "Channels are not moved to the front: reshape keeps the order of the numbers, permute moves axes.",
    family="transposed",
)
def resize_reshapes(image, resize=256, crop=224):
    return right_resize_and_crop(image, resize, crop).permute(1, 2, 0).reshape(3, crop, crop)


@mistake(
    "resize_and_crop",
    "Height and width are exchanged: an array's first axis counts rows; Pillow says (width, height).",
    family="transposed",
)
def resize_transposes(image, resize=256, crop=224):
    return right_resize_and_crop(image, resize, crop).mT.contiguous()


@mistake("resize_and_crop", "The interpolation is bicubic: bilinear was asked for.")
def resize_bicubic(image, resize=256, crop=224):
    cubic = v2.InterpolationMode.BICUBIC
    return _middle(_resized(_pixels(image), _size(image, resize), interpolation=cubic), crop)


@mistake("resize_and_crop", "The crop is cut out of the picture before it is resized: resize first.")
def resize_after_crop(image, resize=256, crop=224):
    side = min(image.shape[:2])
    return _resized(_middle(_pixels(image), side), [crop, crop])


# --- standardize


def _column(values):
    return torch.tensor(values)[:, None, None]


def _channels(images, recipe):
    return images[:, ["RGB".index(letter) for letter in recipe["order"]]].float()


@mistake("standardize", "The order of the channels is not looked at.")
def standardize_ignores_order(images, recipe):
    return right_standardize(images, {**recipe, "order": "RGB"})


@mistake(
    "standardize",
    "mean and std are taken in the order red, green, blue: they belong to the network's channels.",
)
def standardize_before_reordering(images, recipe):
    x = (images.float() * recipe["scale"] - _column(recipe["mean"])) / _column(recipe["std"])
    return _channels(x, recipe)


@mistake(
    "standardize",
    "The mean is subtracted before the scale is applied: first scale, then subtract.",
    family="shifted",
)
def standardize_scales_late(images, recipe):
    x = (_channels(images, recipe) - _column(recipe["mean"])) * recipe["scale"]
    return x / _column(recipe["std"])


@mistake("standardize", "The scale is missing.")
def standardize_without_scale(images, recipe):
    return right_standardize(images, {**recipe, "scale": 1.0})


@mistake("standardize", "The numbers are not divided by std.", family="scaled")
def standardize_without_std(images, recipe):
    return right_standardize(images, {**recipe, "std": (1.0, 1.0, 1.0)})


@mistake("standardize", "The numbers are multiplied with std instead of divided by it.", family="scaled")
def standardize_multiplies(images, recipe):
    return right_standardize(images, {**recipe, "std": tuple(1 / each for each in recipe["std"])})


@mistake("standardize", "The mean is added: it should be subtracted.", family="shifted")
def standardize_adds_mean(images, recipe):
    return right_standardize(images, {**recipe, "mean": tuple(-each for each in recipe["mean"])})


@mistake(
    "standardize",
    "All channels get the first one's mean and deviation: shape them (3, 1, 1), to go along the channels.",
)
def standardize_first_for_all(images, recipe):
    alike = {name: recipe[name][:1] * 3 for name in ("mean", "std")}
    return right_standardize(images, {**recipe, **alike})


@mistake("standardize", "The scaled numbers are rounded to bytes again: change the type before you compute.")
def standardize_in_bytes(images, recipe):
    x = (_channels(images, recipe) * recipe["scale"]).to(torch.uint8).float()
    return (x - _column(recipe["mean"])) / _column(recipe["std"])


# --- classify


def _classify(
    model, images, batch_size=32, *, eval=True, record=False, restore="each", drop=False, after=None
):
    modes = [(module, module.training) for module in model.modules()]
    was = model.training
    if eval:
        model.eval()
    batches = images.split(batch_size)
    if drop and len(batches) > 1 and len(batches[-1]) < batch_size:
        batches = batches[:-1]
    with torch.enable_grad() if record else torch.inference_mode():
        logits = torch.cat([model(batch) for batch in batches])
    if restore == "each":
        for module, mode in modes:
            module.training = mode
    elif restore == "root":
        model.train(was)
    elif restore == "train":
        model.train()
    return logits if after is None else after(logits)


@mistake(
    "classify", "The network is not set to eval mode: batch normalisation uses the batch, and dropout drops."
)
def classify_in_training_mode(model, images, batch_size=32):
    return _classify(model, images, batch_size, eval=False)


@mistake("classify", "A record for a backward pass is made: with torch.inference_mode().")
def classify_with_record(model, images, batch_size=32):
    return _classify(model, images, batch_size, record=True, after=lambda logits: logits.detach())


@mistake("classify", "Afterwards the network stays in eval mode, whatever it was before.")
def classify_stays_in_eval(model, images, batch_size=32):
    return _classify(model, images, batch_size, restore="")


@mistake("classify", "Afterwards the network is in training mode, whatever it was before.")
def classify_ends_in_training(model, images, batch_size=32):
    return _classify(model, images, batch_size, restore="train")


@mistake(
    "classify",
    "model.train(mode) switches all modules alike: each of model.modules() has a mode of its own.",
)
def classify_switches_all(model, images, batch_size=32):
    return _classify(model, images, batch_size, restore="root")


@mistake("classify", "The last batch is left out where it is short.", family="offset")
def classify_drops_last(model, images, batch_size=32):
    return _classify(model, images, batch_size, drop=True)


@mistake("classify", "All pictures go through at once: batch_size is not used.")
def classify_at_once(model, images, batch_size=32):
    return _classify(model, images, len(images))


@mistake("classify", "These are probabilities: the logits were asked for.")
def classify_with_softmax(model, images, batch_size=32):
    return _classify(model, images, batch_size, after=lambda logits: logits.softmax(dim=1))


# --- top_k


@mistake("top_k", "The softmax is over the k largest only: it should be over all classes.", family="scaled")
def top_k_softmax_late(logits, k):
    values, classes = logits.topk(k)
    return values.softmax(dim=1), classes


@mistake("top_k", "These are the logits: turn them into probabilities with the softmax.")
def top_k_logits(logits, k):
    values, classes = logits.topk(k)
    return values, classes


@mistake("top_k", "The order is the wrong way round: the largest comes first.", family="reversed")
def top_k_ascending(logits, k):
    probabilities, classes = right_top_k(logits, k)
    return probabilities.flip(1), classes.flip(1)


@mistake("top_k", "These are the smallest probabilities.")
def top_k_smallest(logits, k):
    probabilities, classes = logits.softmax(dim=1).topk(k, largest=False)
    return probabilities, classes


@mistake("top_k", "The softmax runs along the examples: it should run along the classes, dim=1.")
def top_k_over_examples(logits, k):
    probabilities, classes = logits.softmax(dim=0).topk(k)
    return probabilities, classes


@mistake("top_k", "The exponentials overflow where logits are large: softmax subtracts the maximum first.",
         family="unstable")  # fmt: skip
def top_k_overflows(logits, k):
    e = logits.exp()
    probabilities, classes = (e / e.sum(dim=1, keepdim=True)).topk(k)
    return probabilities, classes


@mistake("top_k", "Each logit goes through a sigmoid by itself: the classes exclude each other, so softmax.")
def top_k_sigmoid(logits, k):
    probabilities, classes = logits.sigmoid().topk(k)
    return probabilities, classes


# --- compare_recipes


@mistake(
    "compare_recipes", "The pictures are standardized again and again: each recipe starts from the pictures."
)
def recipes_pile_up(predict, images, labels, recipes):
    shares = {}
    for name, recipe in recipes.items():
        images = standardize(images, recipe)
        shares[name] = float((predict(images).argmax(dim=1) == labels).double().mean())
    return shares


@mistake("compare_recipes", "These are numbers of right answers, and not shares.", family="scaled")
def recipes_counted(predict, images, labels, recipes):
    return {
        name: share * len(labels)
        for name, share in right_compare_recipes(predict, images, labels, recipes).items()
    }


@mistake("compare_recipes", "These are the shares of the wrong answers.")
def recipes_errors(predict, images, labels, recipes):
    return {
        name: 1 - share for name, share in right_compare_recipes(predict, images, labels, recipes).items()
    }


@mistake(
    "compare_recipes", "The pictures go through the network as they are: standardize them with the recipe."
)
def recipes_unused(predict, images, labels, recipes):
    share = float((predict(images.float()).argmax(dim=1) == labels).double().mean())
    return dict.fromkeys(recipes, share)


@mistake("compare_recipes", "Only the best recipe is returned: all shares were asked for.")
def recipes_best_only(predict, images, labels, recipes):
    shares = right_compare_recipes(predict, images, labels, recipes)
    best = max(shares, key=shares.get)
    return {best: shares[best]}


# --- top_k_accuracy


@mistake("top_k_accuracy", "Only the first answer counts: k is not used.")
def accuracy_of_first(logits, labels, k):
    return right_top_k_accuracy(logits, labels, 1)


@mistake("top_k_accuracy", "The label is looked for among the k smallest logits.")
def accuracy_of_smallest(logits, labels, k):
    return right_top_k_accuracy(-logits, labels, k)


@mistake(
    "top_k_accuracy", "The number of hits is divided by k: an example is right or wrong.", family="scaled"
)
def accuracy_divided_by_k(logits, labels, k):
    return right_top_k_accuracy(logits, labels, k) / k


@mistake("top_k_accuracy", "One class too many is looked at: k of them, not k + 1.")
def accuracy_one_more(logits, labels, k):
    return right_top_k_accuracy(logits, labels, min(k + 1, logits.shape[1]))


@mistake("top_k_accuracy", "The k-th answer alone is compared with the label: any of the first k will do.")
def accuracy_of_kth(logits, labels, k):
    return float((logits.topk(k).indices[:, -1] == labels).double().mean())


@mistake("top_k_accuracy", "The number of hits is not divided by the number of examples.", family="scaled")
def accuracy_counted(logits, labels, k):
    return right_top_k_accuracy(logits, labels, k) * len(labels)


# --- surest_mistakes


@mistake("surest_mistakes", "Right answers are among them: only wrong ones were asked for.")
def surest_of_all(logits, labels, k):
    return logits.softmax(dim=1).max(dim=1).values.argsort(descending=True)[:k]


@mistake("surest_mistakes", "The least sure ones come first.", family="reversed")
def surest_last(logits, labels, k):
    wrong = right_surest_mistakes(logits, labels, len(labels))
    return wrong.flip(0)[:k]


@mistake(
    "surest_mistakes",
    "They are sorted by the largest logit: the confidence is the probability of the answer.",
)
def surest_by_logit(logits, labels, k):
    wrong = (logits.argmax(dim=1) != labels).nonzero().flatten()
    return wrong[logits.max(dim=1).values[wrong].argsort(descending=True)[:k]]


@mistake(
    "surest_mistakes",
    "These number the wrong answers among themselves: give their places among all examples.",
)
def surest_among_wrong(logits, labels, k):
    confidence, answers = logits.softmax(dim=1).max(dim=1)
    return confidence[answers != labels].argsort(descending=True)[:k]


@mistake(
    "surest_mistakes",
    "They are sorted by how unlikely the right class was: the confidence is the probability of the answer.",
)
def surest_by_loss(logits, labels, k):
    wrong = (logits.argmax(dim=1) != labels).nonzero().flatten()
    loss = F.cross_entropy(logits, labels, reduction="none")
    return wrong[loss[wrong].argsort(descending=True)[:k]]


# --- reliability


def _bins(confidence, correct, num_bins, bins):
    inside = F.one_hot(bins.clamp(0, num_bins - 1), num_bins).to(confidence.dtype)
    count = inside.sum(dim=0)
    return {
        "count": count.long(),
        "confidence": confidence @ inside / count,
        "accuracy": correct.to(confidence.dtype) @ inside / count,
    }


@mistake(
    "reliability",
    "A confidence on a border is in the bin above it: bin b goes up to (b + 1) / B, which included.",
)
def bins_closed_below(confidence, correct, num_bins=10):
    return _bins(confidence, correct, num_bins, (confidence * num_bins).floor().long())


@mistake("reliability", "Where a bin is empty its numbers are 0: they should be NaN.")
def bins_empty_zero(confidence, correct, num_bins=10):
    return {
        name: each.nan_to_num() for name, each in right_reliability(confidence, correct, num_bins).items()
    }


@mistake(
    "reliability", "The confidence of a bin is its middle: it should be the mean of the confidences in it."
)
def bins_at_their_middle(confidence, correct, num_bins=10):
    found = right_reliability(confidence, correct, num_bins)
    middle = (torch.arange(num_bins, dtype=confidence.dtype) + 0.5) / num_bins
    return {**found, "confidence": torch.where(found["count"] > 0, middle, math.nan)}


@mistake(
    "reliability",
    "The accuracy is divided by all examples: it is a share of those in the bin.",
    family="scaled",
)
def bins_share_of_all(confidence, correct, num_bins=10):
    found = right_reliability(confidence, correct, num_bins)
    return {**found, "accuracy": found["accuracy"] * found["count"] / len(confidence)}


@mistake("reliability", "The bins hold equally many examples: they should be equally wide.")
def bins_equally_full(confidence, correct, num_bins=10):
    rank = confidence.argsort().argsort()
    return _bins(confidence, correct, num_bins, rank * num_bins // len(confidence))


@mistake("reliability", "The accuracy counts the wrong answers.")
def bins_of_errors(confidence, correct, num_bins=10):
    return right_reliability(confidence, ~correct, num_bins)


@mistake("reliability", "num_bins are the borders, so that there is one bin too few.")
def bins_one_too_few(confidence, correct, num_bins=10):
    return right_reliability(confidence, correct, max(num_bins - 1, 1))


# --- expected_calibration_error


def _gaps(confidence, correct, num_bins):
    bins = reliability(confidence, correct, num_bins)
    return (bins["accuracy"] - bins["confidence"]).nan_to_num(), bins["count"].double() / len(confidence)


@mistake("expected_calibration_error", "Every bin counts alike: it should count by its number of examples.")
def error_unweighted(confidence, correct, num_bins=10):
    gaps, share = _gaps(confidence, correct, num_bins)
    return float(gaps.abs()[share > 0].mean())


@mistake("expected_calibration_error", "Distances of different signs cancel: take their absolute values.")
def error_signed(confidence, correct, num_bins=10):
    gaps, share = _gaps(confidence, correct, num_bins)
    return float((gaps * share).sum().abs())


@mistake("expected_calibration_error", "The distances are squared: take their absolute values.")
def error_squared(confidence, correct, num_bins=10):
    gaps, share = _gaps(confidence, correct, num_bins)
    return float((gaps**2 * share).sum())


@mistake(
    "expected_calibration_error", "An empty bin makes the sum NaN: leave such bins out.", family="unstable"
)
def error_nan(confidence, correct, num_bins=10):
    bins = reliability(confidence, correct, num_bins)
    return float(((bins["accuracy"] - bins["confidence"]).abs() * bins["count"]).sum() / len(confidence))


@mistake("expected_calibration_error", "This is the largest distance: the mean one was asked for.")
def error_maximum(confidence, correct, num_bins=10):
    return float(_gaps(confidence, correct, num_bins)[0].abs().max())


@mistake("expected_calibration_error", "The sum is not divided by the number of examples.", family="scaled")
def error_not_averaged(confidence, correct, num_bins=10):
    return right_error(confidence, correct, num_bins) * len(confidence)


@mistake("expected_calibration_error", "num_bins is not used.")
def error_ten_bins(confidence, correct, num_bins=10):
    return right_error(confidence, correct, 10)


# --- fit_temperature


@mistake(
    "fit_temperature",
    "This is 1 / T: the logits are divided by the temperature.",
    family="sign",  # of log T, which is what the tests compare
)
def temperature_inverted(logits, labels):
    return 1 / right_fit_temperature(logits, labels)


@mistake("fit_temperature", "This is the logarithm of the temperature.", family="function")
def temperature_logarithm(logits, labels):
    return abs(math.log(right_fit_temperature(logits, labels))) + 1e-9


@mistake("fit_temperature", "T is never below 1: a network may also be too modest.")
def temperature_above_one(logits, labels):
    return max(right_fit_temperature(logits, labels), 1.0)


@mistake("fit_temperature", "T is looked for in steps of 0.1, which is too coarse.")
def temperature_in_steps(logits, labels):
    return max(round(right_fit_temperature(logits, labels) / 0.1) * 0.1, 0.1)


@mistake("fit_temperature", "A few steps of gradient descent from T = 1 do not get there.")
def temperature_few_steps(logits, labels):
    T = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([T], lr=0.05)
    for _ in range(10):
        optimizer.zero_grad()
        F.cross_entropy(logits.double() / T, labels).backward()
        optimizer.step()
    return float(T.detach().clamp(min=0.05))


@mistake(
    "fit_temperature",
    "T makes the mean confidence equal to the accuracy: the lowest cross-entropy was asked for.",
)
def temperature_by_mean_confidence(logits, labels):
    accuracy = float((logits.argmax(dim=1) == labels).double().mean())
    low, high = math.log(0.02), math.log(50)
    for _ in range(60):
        middle = (low + high) / 2
        confidence = (logits.double() / math.exp(middle)).softmax(dim=1).max(dim=1).values.mean()
        low, high = (middle, high) if float(confidence) > accuracy else (low, middle)
    return math.exp(low)


# --- features


def _features(
    model, layer, images, batch_size=32, *, remove=True, eval=True, restore=True, record=False,
    pool="mean", keep="last", copy=True, take="output", drop=False, root=False,
):  # fmt: skip
    kept, calls = [], []

    def pooled(maps):
        if maps.ndim != 4 or pool == "":
            return maps
        if pool == "max":
            return maps.amax(dim=(2, 3))
        return maps.flatten(1) if pool == "flatten" else maps.mean(dim=(2, 3))

    def listen(module, inputs, output):
        value = output if take == "output" else inputs[0]
        calls.append(pooled(value).clone() if copy else value)

    modes = [(module, module.training) for module in model.modules()]
    was = model.training
    handle = model.get_submodule(layer).register_forward_hook(listen)
    if eval:
        model.eval()
    with torch.enable_grad() if record else torch.inference_mode():
        for batch in images.split(batch_size):
            calls.clear()
            model(batch)
            value = calls[0] if keep == "first" else calls[-1]
            kept.append(value if copy else pooled(value))
    if remove:
        handle.remove()
    if root:
        model.train(was)
    elif restore:
        for module, mode in modes:
            module.training = mode
    return kept[-1] if drop else torch.cat(kept)


@mistake("features", "The hook stays in the network: handle.remove().")
def features_hook_stays(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, remove=False)


@mistake("features", "All hooks of the layer are removed, also one that was there before: handle.remove().")
def features_all_hooks_removed(model, layer, images, batch_size=32):
    result = _features(model, layer, images, batch_size)
    model.get_submodule(layer)._forward_hooks.clear()
    return result


@mistake("features", "The output is pooled after the pass, when the next layer has overwritten it already.")
def features_overwritten(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, copy=False)


@mistake("features", "Maps are pooled by their maximum: it should be the mean.")
def features_max(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, pool="max")


@mistake("features", "Maps are flattened: they should be averaged over their places.")
def features_flattened(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, pool="flatten")


@mistake("features", "Of a layer that is used twice the first output is kept: the last one counts.")
def features_first_call(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, keep="first")


@mistake("features", "This is what goes into the layer: its output was asked for.")
def features_of_input(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, take="input")


@mistake("features", "Only the last batch is returned.", family="partial")
def features_last_batch(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, drop=True)


@mistake("features", "The network is not set to eval mode.")
def features_in_training_mode(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, eval=False)


@mistake("features", "Afterwards the network stays in eval mode, whatever it was before.")
def features_stay_in_eval(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, restore=False)


@mistake(
    "features",
    "model.train(mode) switches all modules alike: each of model.modules() has a mode of its own.",
)
def features_switch_all(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, root=True)


@mistake("features", "A record for a backward pass is made: with torch.inference_mode().")
def features_with_record(model, layer, images, batch_size=32):
    return _features(model, layer, images, batch_size, record=True).detach()


@mistake("features", "All pictures go through at once: batch_size is not used.")
def features_at_once(model, layer, images, batch_size=32):
    return _features(model, layer, images, len(images))
