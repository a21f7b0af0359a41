"""What goes wrong in backpropagation: small wrong versions of one function each, with explanations.

A wrong forward pass still returns the right cache, so that it costs its own question only.
"""

import numpy as np

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_linear_forward = linear_forward
right_linear_backward = linear_backward
right_relu_forward = relu_forward
right_relu_backward = relu_backward
right_loss_forward = softmax_cross_entropy_forward
right_loss_backward = softmax_cross_entropy_backward
right_initialize = initialize
right_mlp_forward = mlp_forward
right_mlp_backward = mlp_backward
right_train = train


# --- linear_forward


@mistake("linear_forward", "The biases are missing: b is added to every row of x w.", family="shifted")
def linear_without_bias(x, w, b):
    return x @ w, (x, w)


@mistake("linear_forward", "The biases are subtracted. They are added.", family="shifted")
def linear_bias_subtracted(x, w, b):
    return x @ w - b, (x, w)


@mistake(
    "linear_forward",
    "Only the first example gets its bias: b belongs to the outputs, and every example has all of these.",
    family="partial",
)
def linear_bias_on_first_example(x, w, b):
    out = x @ w
    out[0] += b
    return out, (x, w)


@mistake("linear_forward", "The weighted sum is divided by the number of inputs. It is a sum, not a mean.")
def linear_averaged(x, w, b):
    return x @ w / x.shape[1] + b, (x, w)


@mistake("linear_forward", "A ReLU has slipped in: the outputs of a linear layer may be negative.")
def linear_with_relu(x, w, b):
    return np.maximum(x @ w + b, 0), (x, w)


# --- linear_backward


@mistake(
    "linear_backward", "db is not summed over the batch: it needs one number for each bias.", family="reduced"
)
def linear_db_not_summed(dout, cache):
    dx, dw, _ = right_linear_backward(dout, cache)
    return dx, dw, dout


@mistake(
    "linear_backward",
    "db is a mean over the batch. It is the sum: nothing in this layer divides by N.",
    family="scaled",
)
def linear_db_averaged(dout, cache):
    dx, dw, _ = right_linear_backward(dout, cache)
    return dx, dw, dout.mean(axis=0)


@mistake(
    "linear_backward",
    "dw is divided by the batch size. If the loss is a mean, dout holds the division already, and it is now "
    "done twice.",
    family="scaled",
)
def linear_dw_averaged(dout, cache):
    dx, dw, db = right_linear_backward(dout, cache)
    return dx, dw / len(dout), db


@mistake("linear_backward", "db sums over the outputs of each example; it should sum over the examples.")
def linear_db_over_outputs(dout, cache):
    dx, dw, _ = right_linear_backward(dout, cache)
    return dx, dw, dout.sum(axis=1)


@mistake(
    "linear_backward",
    "dw comes out transposed: it should be x transposed times dout, shape (D, M).",
    family="transposed",
)
def linear_dw_transposed(dout, cache):
    dx, dw, db = right_linear_backward(dout, cache)
    return dx, dw.T, db


@mistake(
    "linear_backward",
    "db has a second axis: keepdims makes it (1, M), and b has the shape (M,).",
    family="reshaped",
)
def linear_db_keepdims(dout, cache):
    dx, dw, _ = right_linear_backward(dout, cache)
    return dx, dw, dout.sum(axis=0, keepdims=True)


@mistake("linear_backward", "The gradients come in another order than the inputs: dx, dw, db.")
def linear_wrong_order(dout, cache):
    dx, dw, db = right_linear_backward(dout, cache)
    return dw, db, dx


@mistake(
    "linear_backward",
    "dx is not weighted: it has the upstream gradients summed, but each must be multiplied with its weight.",
)
def linear_dx_unweighted(dout, cache):
    dx, dw, db = right_linear_backward(dout, cache)
    return np.repeat(dout.sum(axis=1, keepdims=True), dx.shape[1], axis=1), dw, db


# --- relu_forward and relu_backward


@mistake("relu_forward", "This is the absolute value: negative inputs should become 0, not positive.")
def relu_absolute(x):
    return np.abs(x), x


@mistake("relu_forward", "The minimum is taken: what is positive should remain.")
def relu_minimum(x):
    return np.minimum(x, 0), x


@mistake("relu_forward", "This is a leaky ReLU: here negative inputs become 0, not small.")
def relu_leaky(x):
    return np.where(x > 0, x, 0.01 * x), x


@mistake("relu_forward", "The input is overwritten: x[x < 0] = 0 changes the caller's array. Use np.maximum.")
def relu_in_place(x):
    cache = x.copy()
    x[x < 0] = 0
    return x, cache


@mistake(
    "relu_backward", "The sign of dout decides. It is the sign of the input x that opens or closes the way."
)
def relu_sign_of_upstream(dout, cache):
    return dout * (dout > 0)


@mistake(
    "relu_backward", "The upstream gradient is forgotten: 1 or 0 is the slope, to be multiplied with dout."
)
def relu_slope_only(dout, cache):
    return (cache > 0).astype(float)


@mistake("relu_backward", "The gradient passes everywhere. Where the input was negative it should be 0.")
def relu_passes_all(dout, cache):
    return dout * np.ones_like(cache)


@mistake("relu_backward", "The way is closed where it should be open: dout passes where x was positive.")
def relu_inverted(dout, cache):
    return dout * (cache < 0)


@mistake("relu_backward", "dout is multiplied with the output of ReLU. Its slope, 1, is what belongs there.")
def relu_times_output(dout, cache):
    return dout * np.maximum(cache, 0)


@mistake("relu_backward", "dout is overwritten: dout[x < 0] = 0 changes the caller's array. Work on a copy.")
def relu_backward_in_place(dout, cache):
    dout[cache < 0] = 0
    return dout


# --- softmax_cross_entropy_forward


@mistake(
    "softmax_cross_entropy_forward",
    "The loss is summed over the batch. It should be the mean.",
    family="scaled",
)
def loss_summed(scores, y):
    loss, cache = right_loss_forward(scores, y)
    return loss * len(y), cache


@mistake(
    "softmax_cross_entropy_forward",
    "The sign is missing: the loss is minus the logarithm, and positive.",
    family="sign",
)
def loss_sign(scores, y):
    loss, cache = right_loss_forward(scores, y)
    return -loss, cache


@mistake(
    "softmax_cross_entropy_forward",
    "exp overflows for scores of 1000: subtract each example's largest score first.",
    family="unstable",
)
def loss_overflows(scores, y):
    _, cache = right_loss_forward(scores, y)
    with np.errstate(all="ignore"):
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return float(-np.log(p[np.arange(len(y)), y]).mean()), cache


@mistake(
    "softmax_cross_entropy_forward",
    "The largest score of the whole batch is subtracted from all examples. One that is 1000 lower is then "
    "divided by a sum of zeros: subtract each example's own maximum.",
    family="unstable",
)
def loss_one_maximum(scores, y):
    _, cache = right_loss_forward(scores, y)
    shifted = scores - scores.max()
    with np.errstate(all="ignore"):
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-log_p[np.arange(len(y)), y].mean()), cache


@mistake(
    "softmax_cross_entropy_forward",
    "The logarithm is taken of a probability that may be 0, which gives an infinite loss. Use "
    "log p = shifted score - log(sum of exp).",
    family="unstable",
)
def loss_log_of_zero(scores, y):
    _, cache = right_loss_forward(scores, y)
    with np.errstate(all="ignore"):
        return float(-np.log(cache[0][np.arange(len(y)), y]).mean()), cache


@mistake(
    "softmax_cross_entropy_forward",
    "A small number is added to the probability before the logarithm: a right class that is 1000 behind then "
    "costs some 20 or 30 instead of 1000.",
)
def loss_with_epsilon(scores, y):
    _, cache = right_loss_forward(scores, y)
    return float(-np.log(cache[0][np.arange(len(y)), y] + 1e-12).mean()), cache


@mistake(
    "softmax_cross_entropy_forward", "The probabilities are normalised over the batch, not over the classes."
)
def loss_wrong_axis(scores, y):
    _, cache = right_loss_forward(scores, y)
    with np.errstate(all="ignore"):
        p = np.exp(scores) / np.exp(scores).sum(axis=0, keepdims=True)
        return float(-np.log(p[np.arange(len(y)), y]).mean()), cache


@mistake(
    "softmax_cross_entropy_forward",
    "The logarithms of all classes are averaged. Only that of the right class counts.",
)
def loss_all_classes(scores, y):
    _, cache = right_loss_forward(scores, y)
    shifted = scores - scores.max(axis=1, keepdims=True)
    return float(-(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))).mean()), cache


@mistake(
    "softmax_cross_entropy_forward",
    "The logarithm is to base 2; the natural one belongs here.",
    family="scaled",
)
def loss_base_two(scores, y):
    loss, cache = right_loss_forward(scores, y)
    return loss / float(np.log(2)), cache


# --- softmax_cross_entropy_backward


@mistake(
    "softmax_cross_entropy_backward",
    "The division by the batch size is missing: the loss is a mean.",
    family="scaled",
)
def loss_gradient_not_averaged(dout, cache):
    return right_loss_backward(dout, cache) * len(cache[1])


@mistake(
    "softmax_cross_entropy_backward",
    "The sign is reversed: it is p - 1 for the right class, not 1 - p.",
    family="sign",
)
def loss_gradient_sign(dout, cache):
    return -right_loss_backward(dout, cache)


@mistake(
    "softmax_cross_entropy_backward",
    "The upstream gradient is not used: multiply with dout.",
    family="scaled",
)
def loss_gradient_without_upstream(dout, cache):
    return right_loss_backward(1.0, cache)


@mistake("softmax_cross_entropy_backward", "The 1 is subtracted from all classes; only the right one has it.")
def loss_gradient_minus_one_everywhere(dout, cache):
    p, y = cache
    return dout * (p - 1) / len(y)


@mistake("softmax_cross_entropy_backward", "Nothing is subtracted for the right class: p - 1 belongs there.")
def loss_gradient_only_p(dout, cache):
    p, y = cache
    return dout * p / len(y)


@mistake(
    "softmax_cross_entropy_backward",
    "The derivative is that of -log p with respect to p. One with respect to the scores is asked for: p - 1.",
)
def loss_gradient_of_p(dout, cache):
    p, y = cache
    dscores, rows = np.zeros_like(p), np.arange(len(y))
    with np.errstate(all="ignore"):
        dscores[rows, y] = -1 / p[rows, y]
    return dout * dscores / len(y)


@mistake(
    "softmax_cross_entropy_backward",
    "The division is by the number of classes. It should be by the number of examples.",
    family="scaled",
)
def loss_gradient_by_classes(dout, cache):
    return right_loss_backward(dout, cache) * len(cache[1]) / cache[0].shape[1]


@mistake(
    "softmax_cross_entropy_backward",
    "The probabilities in the cache are changed in place: a second call gives another gradient. Copy them.",
)
def loss_gradient_in_place(dout, cache):
    p, y = cache
    p[np.arange(len(y)), y] -= 1
    return dout * p / len(y)


# --- initialize


@mistake(
    "initialize",
    "The spread is 1 / sqrt(D). Behind a ReLU, which stops half of the signal, it is sqrt(2 / D).",
    family="scaled",
)
def initialize_without_two(sizes, seed=0):
    params = right_initialize(sizes, seed)
    return {name: value / np.sqrt(2) for name, value in params.items()}


@mistake(
    "initialize",
    "The spread is computed from the number of outputs. It is the inputs that are summed.",
    family="scaled",
)
def initialize_fan_out(sizes, seed=0):
    params = right_initialize(sizes, seed)
    return {name: np.sqrt(len(v) / v.shape[1]) * v if name[0] == "W" else v for name, v in params.items()}


@mistake(
    "initialize",
    "All layers have the spread of the first: D is the number of inputs of each very layer.",
    family="scaled",
)
def initialize_first_fan_in(sizes, seed=0):
    params = right_initialize(sizes, seed)
    return {name: np.sqrt(len(v) / sizes[0]) * v if name[0] == "W" else v for name, v in params.items()}


@mistake(
    "initialize",
    "2 / D is the variance. The weights should be drawn with its root, the standard deviation.",
    family="function, scaled",
)
def initialize_variance(sizes, seed=0):
    params = right_initialize(sizes, seed)
    return {name: np.sqrt(2 / len(v)) * v if name[0] == "W" else v for name, v in params.items()}


@mistake(
    "initialize",
    "The weights are zero: all units of a layer then stay copies of each other for good.",
    family="zeros",
)
def initialize_zero(sizes, seed=0):
    return {name: np.zeros_like(value) for name, value in right_initialize(sizes, seed).items()}


@mistake("initialize", "The biases are drawn at random. They begin at zero.")
def initialize_random_bias(sizes, seed=0):
    rng = np.random.default_rng(seed + 1)
    params = right_initialize(sizes, seed)
    return {name: rng.normal(size=v.shape) if name[0] == "b" else v for name, v in params.items()}


@mistake("initialize", "The weights are drawn between 0 and 1. They should have the mean 0.")
def initialize_positive(sizes, seed=0):
    params = right_initialize(sizes, seed)
    return {name: np.abs(value) for name, value in params.items()}


# --- mlp_forward


@mistake("mlp_forward", "There is a ReLU behind the last layer: scores may be negative.")
def mlp_relu_at_the_end(params, x):
    scores, caches = right_mlp_forward(params, x)
    return np.maximum(scores, 0), caches


@mistake(
    "mlp_forward", "There is no ReLU between the layers: all of them together are then a single linear layer."
)
def mlp_without_relu(params, x):
    _, caches = right_mlp_forward(params, x)
    for layer in range(1, len(params) // 2 + 1):
        x = x @ params[f"W{layer}"] + params[f"b{layer}"]
    return x, caches


@mistake("mlp_forward", "Two layers are hard-coded: the depth follows from the number of parameters.")
def mlp_two_layers(params, x):
    scores, caches = right_mlp_forward(params, x)
    if "W2" not in params:
        return scores, caches
    hidden = np.maximum(x @ params["W1"] + params["b1"], 0)
    return hidden @ params["W2"] + params["b2"], caches


@mistake("mlp_forward", "The ReLU comes before each linear layer, so that it is applied to the inputs too.")
def mlp_relu_on_inputs(params, x):
    scores = right_mlp_forward(params, np.maximum(x, 0))[0]
    return scores, right_mlp_forward(params, x)[1]


@mistake("mlp_forward", "Probabilities are returned. The scores are asked for: softmax belongs to the loss.")
def mlp_softmax(params, x):
    scores, caches = right_mlp_forward(params, x)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True), caches


@mistake(
    "mlp_forward", "The keys are sorted as text, so that layer 10 follows layer 1. Count the layers instead."
)
def mlp_sorted_keys(params, x):
    _, caches = right_mlp_forward(params, x)
    names = sorted(name for name in params if name[0] == "W")
    for name in names:
        x = x @ params[name] + params["b" + name[1:]]
        x = np.maximum(x, 0) if name != names[-1] else x
    return x, caches


# --- mlp_backward


@mistake(
    "mlp_backward", "The ReLUs are left out on the way back: each stops the gradient where it was closed."
)
def mlp_backward_without_relu(dscores, caches):
    return right_mlp_backward(dscores, [(linear_cache, None) for linear_cache, _ in caches])


@mistake("mlp_backward", "Two layers are hard-coded: the ones before them get no gradient.")
def mlp_backward_two_layers(dscores, caches):
    grads, last = right_mlp_backward(dscores, caches), len(caches)
    return {name: gradient for name, gradient in grads.items() if int(name[1:]) > last - 2}


@mistake(
    "mlp_backward",
    "All gradients are divided by the batch size. That belongs to the loss: dscores holds it already.",
    family="scaled",
)
def mlp_backward_averaged(dscores, caches):
    return {name: g / len(dscores) for name, g in right_mlp_backward(dscores, caches).items()}


@mistake(
    "mlp_backward",
    "The gradients of weights are right and those of biases are zero: biases learn too.",
    family="zeros",
)
def mlp_backward_biases_fixed(dscores, caches):
    grads = right_mlp_backward(dscores, caches)
    return {name: np.zeros_like(g) if name[0] == "b" else g for name, g in grads.items()}


@mistake("mlp_backward", "The keys count from 0, those of the parameters from 1.")
def mlp_backward_keys_from_zero(dscores, caches):
    grads = right_mlp_backward(dscores, caches)
    return {f"{name[0]}{int(name[1:]) - 1}": gradient for name, gradient in grads.items()}


@mistake(
    "mlp_backward",
    "What is negative in dscores is dropped. A ReLU goes by its input, and the last layer has none.",
)
def mlp_backward_drops_negative(dscores, caches):
    return right_mlp_backward(dscores * (dscores > 0), caches)


@mistake(
    "mlp_backward", "The caches are used up: pop empties the caller's list, and a second call finds nothing."
)
def mlp_backward_pops(dscores, caches):
    grads = {}
    while caches:
        layer = len(caches)
        linear_cache, relu_cache = caches.pop()
        dscores = dscores if relu_cache is None else right_relu_backward(dscores, relu_cache)
        dscores, grads[f"W{layer}"], grads[f"b{layer}"] = right_linear_backward(dscores, linear_cache)
    return grads


# --- sgd_step


@mistake("sgd_step", "The step goes up the gradient, to where the loss grows: subtract.", family="term, sign")
def sgd_ascends(params, grads, learning_rate):
    return {name: value + learning_rate * grads[name] for name, value in params.items()}


@mistake(
    "sgd_step", "The learning rate is left out: the step is as long as the gradient.", family="term, scaled"
)
def sgd_without_rate(params, grads, learning_rate):
    return {name: value - grads[name] for name, value in params.items()}


@mistake("sgd_step", "Only the weights move. Biases are parameters too.", family="term")
def sgd_weights_only(params, grads, learning_rate):
    return {n: v - learning_rate * grads[n] if n[0] == "W" else v.copy() for n, v in params.items()}


@mistake("sgd_step", "Only the sign of the gradient is used. A step is as long as the gradient is large.")
def sgd_signs(params, grads, learning_rate):
    return {name: value - learning_rate * np.sign(grads[name]) for name, value in params.items()}


@mistake(
    "sgd_step", "The arrays given are changed in place (-=): the caller still needs them. Make new ones."
)
def sgd_in_place(params, grads, learning_rate):
    for name in params:
        params[name] -= learning_rate * grads[name]
    return params


@mistake(
    "sgd_step", "Gradients are matched by position. The dictionaries may have other orders: match by name."
)
def sgd_by_position(params, grads, learning_rate):
    pairs = zip(params.items(), grads.values(), strict=True)
    return {
        name: value - learning_rate * (gradient if gradient.shape == value.shape else gradient.sum())
        for (name, value), gradient in pairs
    }


# --- step_decay and warmup_cosine


@mistake("step_decay", "The rate falls evenly: step / every must be rounded down, so that it falls in steps.")
def step_decay_smooth(step, learning_rate, factor, every):
    return learning_rate * factor ** (step / every)


@mistake(
    "step_decay",
    "The factor is applied in every step. It is applied once every so many steps.",
    family="scaled",
)
def step_decay_each_step(step, learning_rate, factor, every):
    return learning_rate * factor**step


@mistake(
    "step_decay",
    "The factor is applied once and never again: it is raised to the power step // every.",
    family="scaled",
)
def step_decay_once(step, learning_rate, factor, every):
    return learning_rate * factor if step >= every else learning_rate


@mistake(
    "step_decay",
    "The rate falls one step early: steps are counted from 0, so step `every` is the first lower one.",
    family="offset, scaled",
)
def step_decay_early(step, learning_rate, factor, every):
    return learning_rate * factor ** ((step + 1) // every)


@mistake("step_decay", "The rate is multiplied by step // every times the factor, instead of by its power.")
def step_decay_product(step, learning_rate, factor, every):
    return learning_rate * factor * (step // every) if step >= every else learning_rate


@mistake(
    "warmup_cosine",
    "The warm-up begins with a rate of 0, a step that does nothing: it is (t + 1) / T_w.",
    family="offset, shifted",
)
def warmup_from_zero(step, num_steps, learning_rate, warmup_steps=0):
    if step < warmup_steps:
        return learning_rate * step / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return learning_rate * 0.5 * (1 + np.cos(np.pi * progress))


@mistake(
    "warmup_cosine", "The cosine counts from step 0: after the warm-up it has lost a part of its way already."
)
def cosine_from_zero(step, num_steps, learning_rate, warmup_steps=0):
    if step < warmup_steps:
        return learning_rate * (step + 1) / warmup_steps
    return learning_rate * 0.5 * (1 + np.cos(np.pi * step / num_steps))


@mistake(
    "warmup_cosine",
    "The half is missing: 1 + cos is 2 at the top, and the rate twice as large as asked for.",
    family="scaled",
)
def cosine_without_half(step, num_steps, learning_rate, warmup_steps=0):
    if step < warmup_steps:
        return learning_rate * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return learning_rate * (1 + np.cos(np.pi * progress))


@mistake(
    "warmup_cosine", "The cosine is a quarter of a period: with pi in place of pi / 2 it falls along a half."
)
def cosine_quarter(step, num_steps, learning_rate, warmup_steps=0):
    if step < warmup_steps:
        return learning_rate * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return learning_rate * np.cos(np.pi / 2 * progress)


@mistake("warmup_cosine", "The rate falls in a straight line after the warm-up. It should follow a cosine.")
def cosine_linear(step, num_steps, learning_rate, warmup_steps=0):
    if step < warmup_steps:
        return learning_rate * (step + 1) / warmup_steps
    return learning_rate * (1 - (step - warmup_steps) / (num_steps - warmup_steps))


@mistake("warmup_cosine", "The fall is spread over all steps: after T_w of them only T - T_w are left.")
def cosine_too_long(step, num_steps, learning_rate, warmup_steps=0):
    if step < warmup_steps:
        return learning_rate * (step + 1) / warmup_steps
    return learning_rate * 0.5 * (1 + np.cos(np.pi * (step - warmup_steps) / num_steps))


# --- predict


@mistake("predict", "argmax runs over the examples: it should find the best class of each, axis 1.")
def predict_wrong_axis(params, x):
    return mlp_forward(params, x)[0].argmax(axis=0)


@mistake("predict", "The largest score is returned. Its position is the class.")
def predict_scores(params, x):
    return mlp_forward(params, x)[0].max(axis=1)


@mistake("predict", "The class with the lowest score is chosen.")
def predict_lowest(params, x):
    return mlp_forward(params, x)[0].argmin(axis=1)


@mistake(
    "predict", "The score that is largest in size is chosen, be it negative: it is the highest one that wins."
)
def predict_absolute(params, x):
    return np.abs(mlp_forward(params, x)[0]).argmax(axis=1)


@mistake("predict", "Classes are counted from 1. They count from 0.", family="offset")
def predict_from_one(params, x):
    return mlp_forward(params, x)[0].argmax(axis=1) + 1


# --- train


def wrong_train(params, x, y, x_val, y_val, rates, num_epochs, batch_size, seed, order_of, batch_labels=None):
    """The loop with another order of the examples in each epoch, or other labels for a batch."""
    rng = np.random.default_rng(seed)
    history = {"loss": [], "val_accuracy": []}
    fixed = np.random.default_rng(seed).permutation(len(x))
    for _ in range(num_epochs):
        order = order_of(rng, fixed, len(x))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            labels = y[batch] if batch_labels is None else batch_labels(y, start, len(batch))
            loss, grads = loss_and_gradients(params, x[batch], labels)
            params = sgd_step(params, grads, rates[len(history["loss"])])
            history["loss"].append(loss)
        history["val_accuracy"].append(float(np.mean(predict(params, x_val) == y_val)))
    return params, history


@mistake("train", "The examples are never shuffled: draw a new order at the beginning of each epoch.")
def train_not_shuffled(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    arguments = params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed
    return wrong_train(*arguments, lambda rng, fixed, n: np.arange(n))


@mistake("train", "The order is drawn once, before the loop. Draw a new one in each epoch.")
def train_shuffled_once(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    arguments = params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed
    return wrong_train(*arguments, lambda rng, fixed, n: fixed)


@mistake(
    "train",
    "Batches are drawn with replacement: some examples come twice in an epoch and others never. Cut a "
    "permutation into batches.",
)
def train_with_replacement(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    arguments = params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed
    return wrong_train(*arguments, lambda rng, fixed, n: rng.integers(0, n, size=n))


@mistake("train", "What does not fill a batch is left out: the last batch of an epoch may be smaller.")
def train_drops_the_rest(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    whole = max(len(x) // batch_size, 1) * batch_size
    arguments = params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed
    return wrong_train(*arguments, lambda rng, fixed, n: rng.permutation(n)[:whole])


@mistake("train", "The images are shuffled and the labels are not: use the same indices for both.")
def train_labels_left_behind(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    arguments = params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed
    return wrong_train(
        *arguments, lambda rng, fixed, n: rng.permutation(n), lambda y, start, size: y[start : start + size]
    )


@mistake(
    "train", "The first learning rate is used in every step: step t has learning_rates[t].", family="partial"
)
def train_constant_rate(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    rates = [learning_rates[0]] * len(learning_rates)
    return right_train(params, x, y, x_val, y_val, rates, num_epochs, batch_size, seed)


@mistake(
    "train",
    "The step is counted anew in each epoch, so that each uses the first learning rates again.",
    family="partial",
)
def train_rates_begin_again(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    rates = list(learning_rates)[: len(learning_rates) // num_epochs] * num_epochs
    return right_train(params, x, y, x_val, y_val, rates, num_epochs, batch_size, seed)


@mistake("train", "The accuracy is measured on the training examples. Measure it on x_val and y_val.")
def train_accuracy_on_training_set(
    params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0
):
    return right_train(params, x, y, x, y, learning_rates, num_epochs, batch_size, seed)


@mistake(
    "train",
    "The loss is measured after the step: history holds each batch's loss before its step.",
    family="offset",
)
def train_loss_after_step(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    rng = np.random.default_rng(seed)
    history = {"loss": [], "val_accuracy": []}
    for _ in range(num_epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            _, grads = loss_and_gradients(params, x[batch], y[batch])
            params = sgd_step(params, grads, learning_rates[len(history["loss"])])
            history["loss"].append(loss_and_gradients(params, x[batch], y[batch])[0])
        history["val_accuracy"].append(float(np.mean(predict(params, x_val) == y_val)))
    return params, history


@mistake("train", "The seed is not used: every run draws the same orders, whatever its seed.")
def train_ignores_seed(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    return right_train(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, 12345)
