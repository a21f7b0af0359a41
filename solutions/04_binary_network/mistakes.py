"""Errors that students really make in 04_binary_network.

A wrong forward pass still returns the right cache, so that it costs its own question only.
"""

import numpy as np

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_sigmoid = sigmoid
right_initialize = initialize
right_forward = forward
right_backward = backward
right_mini_batches = mini_batches
right_train = train


# --- sigmoid


@mistake("sigmoid", "exp(z) / (1 + exp(z)) is inf / inf, that is NaN, for large z.", family="unstable")
def sigmoid_overflows(z):
    with np.errstate(all="ignore"):
        return np.exp(z) / (1 + np.exp(z))


@mistake(
    "sigmoid",
    "The sign in the exponent is wrong: this is the sigmoid of -z, which falls from 1 to 0.",
    family="function",
)
def sigmoid_falls(z):
    return right_sigmoid(-z)


@mistake("sigmoid", "This is tanh, which runs from -1 to 1; the sigmoid runs from 0 to 1.")
def sigmoid_is_tanh(z):
    return np.tanh(z)


@mistake("sigmoid", "This is the slope of the sigmoid, p (1 - p), not the sigmoid.")
def sigmoid_slope(z):
    return right_sigmoid(z) * (1 - right_sigmoid(z))


@mistake(
    "sigmoid", "This is a softmax: it divides by the sum over the whole array. Each element is for itself."
)
def sigmoid_is_softmax(z):
    shares = np.exp(z - np.max(z))
    return shares / np.sum(shares)


@mistake("sigmoid", "z is changed in place: the caller finds other numbers in it.")
def sigmoid_in_place(z):
    if isinstance(z, np.ndarray) and z.dtype.kind == "f":
        np.negative(z, out=z)
        return right_sigmoid(-z)
    return right_sigmoid(z)


@mistake("sigmoid", "The 1 in the denominator is missing: this is exp(z), which has no upper end.")
def sigmoid_without_one(z):
    with np.errstate(all="ignore"):
        return 1 / np.exp(-np.asarray(z, dtype=float))


@mistake(
    "sigmoid",
    "The result is cut to whole numbers or to the type of z: for whole z it is always 0 or 1.",
    family="zeros",
)
def sigmoid_keeps_the_type(z):
    return right_sigmoid(z).astype(np.asarray(z).dtype)


@mistake("sigmoid", "A loop over the first axis with an if: it works for vectors only.")
def sigmoid_of_vectors(z):
    return np.array([1 / (1 + np.exp(-v)) if v > -700 else 0.0 for v in z])


# --- bce_loss


def away_from_the_ends(p, eps=1e-12):
    """Probabilities that have a logarithm on both sides."""
    return np.clip(p, eps, 1 - eps)


@mistake("bce_loss", "The losses of the examples are summed; the mean is wanted.", family="scaled")
def loss_summed(p, y):
    inner = away_from_the_ends(p)
    return -np.sum(y * np.log(inner) + (1 - y) * np.log(1 - inner))


@mistake(
    "bce_loss",
    "The minus sign is missing: the loss is negative, and descending makes it worse.",
    family="sign",
)
def loss_negative(p, y):
    inner = away_from_the_ends(p)
    return np.mean(y * np.log(inner) + (1 - y) * np.log(1 - inner))


@mistake("bce_loss", "Only the examples with the label 1 count: the term (1 - y) ln(1 - p) is missing.")
def loss_of_ones_only(p, y):
    return -np.mean(y * np.log(away_from_the_ends(p)))


# Before the next one, which fails in the same way where p is 1, and in other ways besides.
@mistake("bce_loss", "p is only kept above 0: where it is 1, ln(1 - p) is still infinite.", family="unstable")
def loss_clipped_below(p, y):
    inner = np.maximum(p, 1e-12)
    with np.errstate(all="ignore"):
        return -np.mean(y * np.log(inner) + (1 - y) * np.log(1 - inner))


@mistake("bce_loss", "p is not kept away from 0 and 1: a sure answer costs inf or NaN.", family="unstable")
def loss_not_clipped(p, y):
    with np.errstate(all="ignore"):
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


@mistake(
    "bce_loss", "p is kept far away from 0 and 1, by 0.01: probabilities that are merely small are changed."
)
def loss_clipped_too_far(p, y):
    inner = away_from_the_ends(p, 0.01)
    return -np.mean(y * np.log(inner) + (1 - y) * np.log(1 - inner))


@mistake("bce_loss", "The logarithm has the base 2; the natural one is wanted.", family="scaled")
def loss_in_bits(p, y):
    inner = away_from_the_ends(p)
    return -np.mean(y * np.log2(inner) + (1 - y) * np.log2(1 - inner))


@mistake("bce_loss", "This is the squared error, not the cross-entropy.")
def loss_squared(p, y):
    return np.mean((p - y) ** 2)


@mistake("bce_loss", "The labels are exchanged: ln p belongs to y = 1 and ln(1 - p) to y = 0.")
def loss_labels_exchanged(p, y):
    inner = away_from_the_ends(p)
    return -np.mean((1 - y) * np.log(inner) + y * np.log(1 - inner))


@mistake(
    "bce_loss", "There is one loss for each example; take the mean to get a single number.", family="reduced"
)
def loss_not_averaged(p, y):
    inner = away_from_the_ends(p)
    return -(y * np.log(inner) + (1 - y) * np.log(1 - inner))


@mistake("bce_loss", "p is rounded to a label first: the loss no longer sees how sure the network was.")
def loss_of_rounded(p, y):
    inner = away_from_the_ends(np.rint(p))
    return -np.mean(y * np.log(inner) + (1 - y) * np.log(1 - inner))


@mistake("bce_loss", "There is a factor 1/2 too many.", family="scaled")
def loss_halved(p, y):
    inner = away_from_the_ends(p)
    return -np.mean(y * np.log(inner) + (1 - y) * np.log(1 - inner)) / 2


@mistake("bce_loss", "The two terms are averaged apart, each over its own class, and added.")
def loss_of_each_class(p, y):
    inner = away_from_the_ends(p)
    ones, zeros = inner[y == 1], inner[y == 0]
    return sum(-np.mean(np.log(part)) for part in (ones, 1 - zeros) if len(part))


@mistake("bce_loss", "The caller's probabilities are clipped in place.")
def loss_clips_in_place(p, y):
    np.clip(p, 1e-12, 1 - 1e-12, out=p)
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


# --- initialize


def scaled(input_dim, hidden_dim, seed, first, second):
    """Parameters with given standard deviations."""
    rng = np.random.default_rng(seed)
    return {
        "W1": rng.normal(size=(input_dim, hidden_dim)) * first,
        "b1": np.zeros(hidden_dim),
        "W2": rng.normal(size=(hidden_dim, 1)) * second,
        "b2": np.zeros(1),
    }


@mistake(
    "initialize", "All weights start at zero: hidden units that start equal remain equal.", family="zeros"
)
def start_at_zero(input_dim, hidden_dim, seed):
    return scaled(input_dim, hidden_dim, seed, 0.0, 0.0)


@mistake(
    "initialize",
    "The weights have the standard deviation 1: tanh is stuck at its ends from the start.",
    family="scaled",
)
def start_unscaled(input_dim, hidden_dim, seed):
    return scaled(input_dim, hidden_dim, seed, 1.0, 1.0)


@mistake(
    "initialize",
    "The weights are divided by the number of inputs; divide by its root.",
    family="function, scaled",
)
def start_without_root(input_dim, hidden_dim, seed):
    return scaled(input_dim, hidden_dim, seed, 1 / input_dim, 1 / hidden_dim)


@mistake(
    "initialize", "All weights get the fixed scale 0.01, whatever the number of inputs.", family="scaled"
)
def start_with_a_fixed_scale(input_dim, hidden_dim, seed):
    return scaled(input_dim, hidden_dim, seed, 0.01, 0.01)


@mistake(
    "initialize",
    "The scale of W1 uses the number of hidden units; its inputs are the features.",
    family="scaled",
)
def start_scaled_by_outputs(input_dim, hidden_dim, seed):
    return scaled(input_dim, hidden_dim, seed, 1 / np.sqrt(hidden_dim), 1 / np.sqrt(hidden_dim))


@mistake(
    "initialize",
    "The scale of W2 uses the number of features; its inputs are the hidden units.",
    family="scaled",
)
def start_one_scale_for_both(input_dim, hidden_dim, seed):
    return scaled(input_dim, hidden_dim, seed, 1 / np.sqrt(input_dim), 1 / np.sqrt(input_dim))


@mistake(
    "initialize",
    "This is the scale for ReLU, sqrt(2 / inputs); for tanh it is sqrt(1 / inputs).",
    family="scaled",
)
def start_for_relu(input_dim, hidden_dim, seed):
    return scaled(input_dim, hidden_dim, seed, np.sqrt(2 / input_dim), np.sqrt(2 / hidden_dim))


@mistake("initialize", "The weights are uniform from 0 to 1: all positive, and much too large.")
def start_positive(input_dim, hidden_dim, seed):
    rng = np.random.default_rng(seed)
    return {
        **right_initialize(input_dim, hidden_dim, seed),
        "W1": rng.uniform(size=(input_dim, hidden_dim)),
        "W2": rng.uniform(size=(hidden_dim, 1)),
    }


@mistake("initialize", "The seed is not used: every call draws other weights.")
def start_without_seed(input_dim, hidden_dim, seed):
    return right_initialize(input_dim, hidden_dim, np.random.randint(2**31))


@mistake("initialize", "The seed is a constant of your own: the argument makes no difference.")
def start_with_own_seed(input_dim, hidden_dim, seed):
    return right_initialize(input_dim, hidden_dim, 0)


@mistake("initialize", "Each matrix gets a new generator with the same seed, so both hold the same numbers.")
def start_with_the_generator_twice(input_dim, hidden_dim, seed):
    second = np.random.default_rng(seed).normal(size=(hidden_dim, 1)) / np.sqrt(hidden_dim)
    return {**right_initialize(input_dim, hidden_dim, seed), "W2": second}


@mistake("initialize", "W1 is transposed: it should have a row for each feature and a column for each unit.")
def start_transposed(input_dim, hidden_dim, seed):
    params = right_initialize(input_dim, hidden_dim, seed)
    return {**params, "W1": params["W1"].T}


@mistake("initialize", "The biases are random too; they start at zero.")
def start_with_random_biases(input_dim, hidden_dim, seed):
    rng = np.random.default_rng(seed)
    params = right_initialize(input_dim, hidden_dim, seed)
    return {**params, "b1": rng.normal(size=hidden_dim), "b2": rng.normal(size=1)}


@mistake(
    "initialize", "W2 has the shape (H,); with the shape (H, 1) it is a matrix like W1.", family="reshaped"
)
def start_with_a_vector(input_dim, hidden_dim, seed):
    params = right_initialize(input_dim, hidden_dim, seed)
    return {**params, "W2": params["W2"][:, 0]}


# --- forward


def hidden(x, params):
    """The sums of the hidden units."""
    return x @ params["W1"] + params["b1"]


def answer(h, params):
    """The probability that hidden units h give."""
    return right_sigmoid(h @ params["W2"] + params["b2"])[:, 0]


@mistake("forward", "The tanh is missing: two linear layers in a row are one linear layer.")
def forward_linear(x, params):
    return answer(hidden(x, params), params), right_forward(x, params)[1]


@mistake("forward", "The hidden units use the sigmoid instead of tanh.")
def forward_sigmoid_inside(x, params):
    return answer(right_sigmoid(hidden(x, params)), params), right_forward(x, params)[1]


@mistake("forward", "The hidden units use ReLU instead of tanh.")
def forward_relu_inside(x, params):
    return answer(np.maximum(hidden(x, params), 0), params), right_forward(x, params)[1]


@mistake("forward", "The sigmoid at the end is missing: z is returned, which is no probability.")
def forward_without_sigmoid(x, params):
    z = np.tanh(hidden(x, params)) @ params["W2"] + params["b2"]
    return z[:, 0], right_forward(x, params)[1]


@mistake("forward", "The answer ends in tanh too: it runs from -1 to 1 and is no probability.")
def forward_ends_in_tanh(x, params):
    z = np.tanh(hidden(x, params)) @ params["W2"] + params["b2"]
    return np.tanh(z)[:, 0], right_forward(x, params)[1]


@mistake(
    "forward",
    "p has the shape (N, 1): take its only column, so that it has the shape (N,).",
    family="reshaped",
)
def forward_column(x, params):
    p, cache = right_forward(x, params)
    return p[:, np.newaxis], cache


@mistake("forward", "b1 is missing in the hidden units.")
def forward_without_b1(x, params):
    return answer(np.tanh(x @ params["W1"]), params), right_forward(x, params)[1]


@mistake("forward", "b2 is missing in the answer.")
def forward_without_b2(x, params):
    z = np.tanh(hidden(x, params)) @ params["W2"]
    return right_sigmoid(z)[:, 0], right_forward(x, params)[1]


@mistake("forward", "b1 is added after the tanh instead of before it.")
def forward_bias_outside(x, params):
    return answer(np.tanh(x @ params["W1"]) + params["b1"], params), right_forward(x, params)[1]


@mistake(
    "forward", "The probabilities are rounded to labels; the loss needs to know how sure the network is."
)
def forward_rounded(x, params):
    p, cache = right_forward(x, params)
    return np.rint(p), cache


@mistake("forward", "This is the probability of a 0: p should be that of a 1.", family="function")
def forward_of_the_other_class(x, params):
    p, cache = right_forward(x, params)
    return 1 - p, cache


@mistake(
    "forward",
    "The probabilities are divided by their sum over the batch; each example is for itself.",
    family="scaled",
)
def forward_normalised(x, params):
    p, cache = right_forward(x, params)
    return p / p.sum(), cache


@mistake("forward", "The parameters are changed on the way: b1 is added to W1 in place.")
def forward_changes_parameters(x, params):
    result = right_forward(x, params)
    params["W1"] += params["b1"]
    return result


# --- backward


def walk_back(y, cache, dz=None, slope=None):
    """The gradients, with another error at the output or another slope of the hidden units."""
    x, h, p, params = cache
    dz = (p - y)[:, np.newaxis] / len(y) if dz is None else dz
    slope = 1 - h**2 if slope is None else slope
    da = dz @ params["W2"].T * slope
    return {"W1": x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dz, "b2": dz.sum(axis=0)}


@mistake(
    "backward",
    "The gradients are summed over the batch: the loss is a mean, so divide by N.",
    family="scaled",
)
def gradients_summed(y, cache):
    p = cache[2]
    return walk_back(y, cache, dz=(p - y)[:, np.newaxis])


@mistake("backward", "The gradients are divided by N twice.", family="scaled")
def gradients_averaged_twice(y, cache):
    p = cache[2]
    return walk_back(y, cache, dz=(p - y)[:, np.newaxis] / len(y) ** 2)


@mistake("backward", "The error has the wrong sign: it is p - y, not y - p.", family="sign")
def gradients_with_the_wrong_sign(y, cache):
    p = cache[2]
    return walk_back(y, cache, dz=(y - p)[:, np.newaxis] / len(y))


@mistake(
    "backward",
    "The slope of the sigmoid is applied twice: p - y already is the gradient before the sigmoid.",
)
def gradients_sigmoid_twice(y, cache):
    p = cache[2]
    return walk_back(y, cache, dz=((p - y) * p * (1 - p))[:, np.newaxis] / len(y))


@mistake(
    "backward", "This is the gradient of the squared error, 2 (p - y) p (1 - p), not of the cross-entropy."
)
def gradients_of_the_squared_error(y, cache):
    p = cache[2]
    return walk_back(y, cache, dz=(2 * (p - y) * p * (1 - p))[:, np.newaxis] / len(y))


@mistake("backward", "The slope of tanh is missing on the way to the first layer: multiply by 1 - h**2.")
def gradients_without_tanh(y, cache):
    return walk_back(y, cache, slope=1.0)


@mistake("backward", "h (1 - h) is the slope of a sigmoid; that of tanh is 1 - h**2.")
def gradients_with_the_sigmoids_slope(y, cache):
    h = cache[1]
    return walk_back(y, cache, slope=h * (1 - h))


@mistake("backward", "The slope of tanh is 1 - h**2; the square is missing.")
def gradients_without_square(y, cache):
    return walk_back(y, cache, slope=1 - cache[1])


@mistake("backward", "The slope 1 - h**2 takes the sums before the tanh; h is what comes out of it.")
def gradients_at_the_sums(y, cache):
    x, _, _, params = cache
    return walk_back(y, cache, slope=1 - hidden(x, params) ** 2)


@mistake("backward", "tanh is applied a second time: the cache holds h, and the slope is 1 - h**2.")
def gradients_with_tanh_twice(y, cache):
    return walk_back(y, cache, slope=1 - np.tanh(cache[1]) ** 2)


@mistake("backward", "ReLU's slope is used for the hidden units; that of tanh is 1 - h**2.")
def gradients_with_relus_slope(y, cache):
    return walk_back(y, cache, slope=(cache[1] > 0).astype(float))


@mistake(
    "backward",
    "The error is divided by p (1 - p) and multiplied by it again: 0 / 0 where the network is sure.",
    family="unstable",
)
def gradients_not_cancelled(y, cache):
    p = cache[2]
    with np.errstate(all="ignore"):
        dp = (p - y) / (p * (1 - p)) / len(y)
        return walk_back(y, cache, dz=(dp * p * (1 - p))[:, np.newaxis])


@mistake(
    "backward",
    "The gradient of b1 is averaged over the batch a second time: sum over the examples.",
    family="scaled",
)
def gradients_b1_averaged(y, cache):
    gradients = right_backward(y, cache)
    return {**gradients, "b1": gradients["b1"] / len(y)}


@mistake(
    "backward",
    "The gradient of b1 is not summed over the batch: it should have the shape of b1.",
    family="reduced",
)
def gradients_b1_not_summed(y, cache):
    _, h, p, params = cache
    da = (p - y)[:, np.newaxis] / len(y) @ params["W2"].T * (1 - h**2)
    return {**right_backward(y, cache), "b1": da}


@mistake(
    "backward",
    "The gradient of b2 is a single number; it should have the shape of b2, (1,).",
    family="reshaped",
)
def gradients_b2_a_number(y, cache):
    gradients = right_backward(y, cache)
    return {**gradients, "b2": gradients["b2"][0]}


@mistake(
    "backward", "The gradient of W2 has the shape (H,); it should have that of W2, (H, 1).", family="reshaped"
)
def gradients_w2_a_vector(y, cache):
    gradients = right_backward(y, cache)
    return {**gradients, "W2": gradients["W2"][:, 0]}


@mistake(
    "backward",
    "W2 is left out on the way back: the hidden units' gradients are dz times W2.T.",
    family="scaled",
)
def gradients_without_w2(y, cache):
    x, h, p, params = cache
    return walk_back(y, (x, h, p, {**params, "W2": np.ones_like(params["W2"])}))


@mistake("backward", "The gradient of W2 does not contain h, the inputs of the second layer.")
def gradients_w2_without_h(y, cache):
    _, h, p, _ = cache
    return {**right_backward(y, cache), "W2": np.full((h.shape[1], 1), np.mean(p - y))}


@mistake("backward", "The error is taken against the rounded probabilities; it is p - y with p as it is.")
def gradients_of_rounded(y, cache):
    p = cache[2]
    return walk_back(y, cache, dz=(np.rint(p) - y)[:, np.newaxis] / len(y))


@mistake(
    "backward", "The names are dW1, db1, dW2, db2; the gradients should have the names of the parameters."
)
def gradients_under_other_names(y, cache):
    return {"d" + name: value for name, value in right_backward(y, cache).items()}


# --- mini_batches


def take(x, y, order, batch_size):
    """Batches in a given order."""
    return [
        (x[order[i : i + batch_size]], y[order[i : i + batch_size]]) for i in range(0, len(order), batch_size)
    ]


@mistake("mini_batches", "The examples are not shuffled: the batches are cut in the given order.")
def batches_unshuffled(x, y, batch_size, seed):
    return take(x, y, np.arange(len(x)), batch_size)


@mistake("mini_batches", "x and y are shuffled apart, so that the labels no longer belong to their examples.")
def batches_shuffled_apart(x, y, batch_size, seed):
    rng = np.random.default_rng(seed)
    return take(x[rng.permutation(len(x))], y[rng.permutation(len(y))], np.arange(len(x)), batch_size)


@mistake("mini_batches", "Only x is shuffled: the labels no longer belong to their examples.")
def batches_of_shuffled_x(x, y, batch_size, seed):
    return take(x[np.random.default_rng(seed).permutation(len(x))], y, np.arange(len(x)), batch_size)


@mistake("mini_batches", "The examples that do not fill a batch are dropped; they make a smaller one.")
def batches_without_the_rest(x, y, batch_size, seed):
    return [batch for batch in right_mini_batches(x, y, batch_size, seed) if len(batch[0]) == batch_size]


@mistake("mini_batches", "An empty batch is appended where the number of examples can be divided evenly.")
def batches_with_an_empty_one(x, y, batch_size, seed):
    batches = right_mini_batches(x, y, batch_size, seed)
    return batches if len(x) % batch_size else [*batches, (x[:0], y[:0])]


@mistake("mini_batches", "The last batch is filled up with examples that were there before.")
def batches_filled_up(x, y, batch_size, seed):
    order = np.random.default_rng(seed).permutation(len(x))
    count = -(-len(x) // batch_size) * batch_size
    return take(x, y, np.resize(order, count), batch_size)


@mistake("mini_batches", "The batches are drawn with replacement: some examples come twice, others never.")
def batches_with_replacement(x, y, batch_size, seed):
    return take(x, y, np.random.default_rng(seed).integers(0, len(x), size=len(x)), batch_size)


@mistake("mini_batches", "batch_size is used as the number of batches.")
def batches_counted(x, y, batch_size, seed):
    order = np.random.default_rng(seed).permutation(len(x))
    return [(x[rows], y[rows]) for rows in np.array_split(order, min(batch_size, len(x)))]


@mistake("mini_batches", "The rest is spread over the batches, which then have other sizes than batch_size.")
def batches_evened_out(x, y, batch_size, seed):
    order = np.random.default_rng(seed).permutation(len(x))
    return [(x[rows], y[rows]) for rows in np.array_split(order, -(-len(x) // batch_size))]


@mistake("mini_batches", "The seed is not used: the same call gives another order each time.")
def batches_without_seed(x, y, batch_size, seed):
    return right_mini_batches(x, y, batch_size, np.random.randint(2**31))


@mistake("mini_batches", "The seed is a constant of your own: every epoch would see the same order.")
def batches_with_own_seed(x, y, batch_size, seed):
    return right_mini_batches(x, y, batch_size, 0)


@mistake("mini_batches", "The batches are shuffled, not the examples: neighbours always come together.")
def batches_cut_before_the_shuffle(x, y, batch_size, seed):
    batches = take(x, y, np.arange(len(x)), batch_size)
    full, rest = batches[: len(x) // batch_size], batches[len(x) // batch_size :]
    return [full[i] for i in np.random.default_rng(seed).permutation(len(full))] + rest


@mistake("mini_batches", "The caller's arrays are shuffled in place.")
def batches_in_place(x, y, batch_size, seed):
    order = np.random.default_rng(seed).permutation(len(x))
    x[:], y[:] = x[order], y[order]
    return take(x, y, np.arange(len(x)), batch_size)


@mistake("mini_batches", "This is a generator (yield); return a list, which can be counted and used again.")
def batches_yielded(x, y, batch_size, seed):
    yield from right_mini_batches(x, y, batch_size, seed)


@mistake("mini_batches", "Only the first batch is returned: the return stands inside the loop.")
def batches_first_only(x, y, batch_size, seed):
    return right_mini_batches(x, y, batch_size, seed)[:1]


# --- train


def descend(params, x, y, learning_rate, epochs, batch_size, seed, names=("W1", "b1", "W2", "b2")):
    """The right training, with a choice of the parameters that are updated."""
    params, losses = dict(params), []
    for epoch in range(epochs):
        for x_batch, y_batch in mini_batches(x, y, batch_size, seed + epoch):
            p, cache = forward(x_batch, params)
            losses.append(bce_loss(p, y_batch))
            grads = backward(y_batch, cache)
            for name in names:
                params[name] = params[name] - learning_rate * grads[name]
    return params, losses


@mistake("train", "The gradient is added: that is the way up.", family="sign")
def train_uphill(params, x, y, learning_rate, epochs, batch_size, seed):
    return descend(params, x, y, -learning_rate, epochs, batch_size, seed)


@mistake("train", "The biases are not updated.")
def train_without_biases(params, x, y, learning_rate, epochs, batch_size, seed):
    return descend(params, x, y, learning_rate, epochs, batch_size, seed, names=("W1", "W2"))


@mistake("train", "Only the second layer is updated: W1 and b1 stay at their start.")
def train_second_layer_only(params, x, y, learning_rate, epochs, batch_size, seed):
    return descend(params, x, y, learning_rate, epochs, batch_size, seed, names=("W2", "b2"))


@mistake("train", "The learning rate is not used: each step has the length of the gradient.", family="scaled")
def train_without_learning_rate(params, x, y, learning_rate, epochs, batch_size, seed):
    return descend(params, x, y, float(learning_rate != 0), epochs, batch_size, seed)


@mistake("train", "Mini-batches are not used: every step takes all examples.")
def train_on_everything(params, x, y, learning_rate, epochs, batch_size, seed):
    return descend(params, x, y, learning_rate, epochs, len(x), seed)


@mistake("train", "Every epoch goes through the examples in the same order: the seed does not change.")
def train_in_one_order(params, x, y, learning_rate, epochs, batch_size, seed):
    params, losses = dict(params), []
    for _ in range(epochs):
        params, new = descend(params, x, y, learning_rate, 1, batch_size, seed)
        losses += new
    return params, losses


@mistake("train", "The seed is not passed on: every training shuffles alike.")
def train_with_own_seed(params, x, y, learning_rate, epochs, batch_size, seed):
    return descend(params, x, y, learning_rate, epochs, batch_size, 0)


@mistake("train", "The caller's arrays are changed in place: a second training starts where the first ended.")
def train_in_place(params, x, y, learning_rate, epochs, batch_size, seed):
    trained, losses = descend(params, x, y, learning_rate, epochs, batch_size, seed)
    for name, value in trained.items():
        params[name][...] = value
    return params, losses


@mistake("train", "There is one loss for each epoch; one for each step is wanted.")
def train_one_loss_an_epoch(params, x, y, learning_rate, epochs, batch_size, seed):
    trained, losses = descend(params, x, y, learning_rate, epochs, batch_size, seed)
    return trained, [np.mean(part) for part in np.array_split(losses, epochs)] if epochs else []


@mistake("train", "The loss is measured after the step instead of before it.", family="offset")
def train_loss_after_the_step(params, x, y, learning_rate, epochs, batch_size, seed):
    params, losses = dict(params), []
    for epoch in range(epochs):
        for x_batch, y_batch in mini_batches(x, y, batch_size, seed + epoch):
            grads = backward(y_batch, forward(x_batch, params)[1])
            params = {name: params[name] - learning_rate * grads[name] for name in params}
            losses.append(bce_loss(forward(x_batch, params)[0], y_batch))
    return params, losses


@mistake(
    "train",
    "There is only one step in each epoch, on its last mini-batch: the update stands outside the loop.",
)
def train_one_step_an_epoch(params, x, y, learning_rate, epochs, batch_size, seed):
    params, losses = dict(params), []
    for epoch in range(epochs):
        for x_batch, y_batch in mini_batches(x, y, batch_size, seed + epoch):
            p, cache = forward(x_batch, params)
            losses.append(bce_loss(p, y_batch))
            grads = backward(y_batch, cache)
        params = {name: params[name] - learning_rate * grads[name] for name in params}
    return params, losses


@mistake("train", "It stops one epoch too early.", family="partial, offset")
def train_one_epoch_short(params, x, y, learning_rate, epochs, batch_size, seed):
    return descend(params, x, y, learning_rate, epochs - 1, batch_size, seed)


@mistake("train", "It returns after the first epoch: the return stands inside the loop.", family="partial")
def train_returns_early(params, x, y, learning_rate, epochs, batch_size, seed):
    return descend(params, x, y, learning_rate, min(epochs, 1), batch_size, seed)


@mistake("train", "The parameters of the start are returned instead of the trained ones.")
def train_returns_the_start(params, x, y, learning_rate, epochs, batch_size, seed):
    return dict(params), descend(params, x, y, learning_rate, epochs, batch_size, seed)[1]


@mistake(
    "train",
    "The gradients are computed anew after each parameter has moved; all belong to the point before it.",
)
def train_gradients_between_updates(params, x, y, learning_rate, epochs, batch_size, seed):
    params, losses = dict(params), []
    for epoch in range(epochs):
        for x_batch, y_batch in mini_batches(x, y, batch_size, seed + epoch):
            losses.append(bce_loss(forward(x_batch, params)[0], y_batch))
            for name in list(params):
                grads = backward(y_batch, forward(x_batch, params)[1])
                params[name] = params[name] - learning_rate * grads[name]
    return params, losses


@mistake(
    "train",
    "The step is divided by the size of the batch again: the gradient already is that of a mean.",
    family="scaled",
)
def train_averaged_again(params, x, y, learning_rate, epochs, batch_size, seed):
    params, losses = dict(params), []
    for epoch in range(epochs):
        for x_batch, y_batch in mini_batches(x, y, batch_size, seed + epoch):
            p, cache = forward(x_batch, params)
            losses.append(bce_loss(p, y_batch))
            grads = backward(y_batch, cache)
            params = {name: params[name] - learning_rate * grads[name] / len(y_batch) for name in params}
    return params, losses
