"""What goes wrong in modular networks: small wrong versions of one function each, with explanations.

A wrong forward pass still returns the right cache, so that it costs its own question only.
"""

import numpy as np

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_affine_forward = affine_forward
right_affine_backward = affine_backward
right_relu_forward = relu_forward
right_relu_backward = relu_backward
right_affine_relu_forward = affine_relu_forward
right_affine_relu_backward = affine_relu_backward
right_svm_loss = svm_loss
right_softmax_loss = softmax_loss
right_dropout_forward = dropout_forward
right_dropout_backward = dropout_backward
right_net_init = FullyConnectedNet.__init__
right_net_loss = FullyConnectedNet.loss
right_sgd = sgd
right_momentum = sgd_momentum
right_rmsprop = rmsprop
right_adam = adam
right_solver_init = Solver.__init__
right_solver_step = Solver.step
right_check_accuracy = Solver.check_accuracy
right_solver_train = Solver.train


# --- affine


@mistake("affine_forward", "The bias is missing: add b to each row of the product.", family="shifted")
def affine_without_bias(x, w, b):
    out, cache = right_affine_forward(x, w, b)
    return out - b, cache


@mistake(
    "affine_forward",
    "The bias is added once for each feature, inside the sum over d. It belongs outside: once per output.",
    family="shifted",
)
def affine_bias_per_feature(x, w, b):
    out, cache = right_affine_forward(x, w, b)
    return out + (len(w) - 1) * b, cache


@mistake(
    "affine_forward",
    "The examples are flattened in column-major order, so that pixels meet the weights of other pixels: "
    "reshape in the default order.",
)
def affine_flattened_in_other_order(x, w, b):
    _, cache = right_affine_forward(x, w, b)
    return x.reshape(len(x), -1, order="F") @ w + b, cache


@mistake(
    "affine_forward",
    "The rows are made with reshape(D, N).T, which mixes numbers of different examples: use reshape(N, D).",
)
def affine_reshaped_then_transposed(x, w, b):
    _, cache = right_affine_forward(x, w, b)
    return x.reshape(-1, len(x)).T @ w + b, cache


@mistake(
    "affine_forward",
    "x is flattened in place by setting its shape, and the caller's array with it. Make a new one.",
    family="reshaped",
)
def affine_changes_shape_of_x(x, w, b):
    out, cache = right_affine_forward(x.copy(), w, b)
    x.shape = (len(x), -1)
    return out, cache


@mistake(
    "affine_forward",
    "The output of a batch of one has lost its batch axis: keep the shape (1, M).",
    family="reshaped",
)
def affine_squeezed(x, w, b):
    out, cache = right_affine_forward(x, w, b)
    return out.squeeze(), cache


@mistake(
    "affine_backward",
    "db is not summed over the batch: its shape matches b only because of broadcasting.",
    family="reduced",
)
def bias_gradient_not_summed(dout, cache):
    dx, dw, _ = right_affine_backward(dout, cache)
    return dx, dw, dout


@mistake(
    "affine_backward",
    "db averages over the batch; the gradient is the sum over all examples.",
    family="scaled",
)
def bias_gradient_averaged(dout, cache):
    dx, dw, db = right_affine_backward(dout, cache)
    return dx, dw, db / len(dout)


@mistake("affine_backward", "db sums over the outputs of each example; sum over the examples, axis 0.")
def bias_gradient_over_outputs(dout, cache):
    dx, dw, _ = right_affine_backward(dout, cache)
    return dx, dw, dout.sum(axis=1)


@mistake(
    "affine_backward",
    "db has the shape (1, M), because of keepdims; b has the shape (M,).",
    family="reshaped",
)
def bias_gradient_with_axis(dout, cache):
    dx, dw, db = right_affine_backward(dout, cache)
    return dx, dw, db[None]


@mistake(
    "affine_backward",
    "dw averages over the batch; the gradient is the sum over all examples.",
    family="scaled",
)
def weight_gradient_averaged(dout, cache):
    dx, dw, db = right_affine_backward(dout, cache)
    return dx, dw / len(dout), db


@mistake("affine_backward", "dx is still in rows: give it the shape of x.", family="reshaped")
def input_gradient_in_rows(dout, cache):
    dx, dw, db = right_affine_backward(dout, cache)
    return dx.reshape(len(dx), -1), dw, db


@mistake("affine_backward", "dw is transposed: it has the shape of w, (D, M).", family="transposed")
def weight_gradient_transposed(dout, cache):
    dx, dw, db = right_affine_backward(dout, cache)
    return dx, dw.T, db


@mistake(
    "affine_backward", "The gradients come in the wrong order: dx, dw, db, as the arguments of the forward."
)
def gradients_in_other_order(dout, cache):
    dx, dw, db = right_affine_backward(dout, cache)
    return dw, dx, db


# --- ReLU


@mistake("relu_forward", "The sign is taken off instead of the negative part: max(x, 0), not |x|.")
def relu_absolute(x):
    return np.abs(x), right_relu_forward(x)[1]


@mistake("relu_forward", "The comparison x > 0 is returned, ones and zeros, instead of the positive numbers.")
def relu_mask(x):
    return (x > 0) * 1.0, right_relu_forward(x)[1]


@mistake("relu_forward", "The minimum is taken instead of the maximum: the negative numbers are to become 0.")
def relu_minimum(x):
    return np.minimum(x, 0), right_relu_forward(x)[1]


@mistake("relu_forward", "This is a leaky ReLU: negative numbers become 0, not a small part of themselves.")
def relu_leaky(x):
    return np.where(x > 0, x, 0.01 * x), right_relu_forward(x)[1]


@mistake("relu_forward", "x itself is set to 0 where it is negative: write into a new array.")
def relu_in_place(x):
    _, cache = right_relu_forward(x.copy())
    x[x < 0] = 0
    return x, cache


@mistake(
    "relu_backward",
    "The gradient is cut where dout is negative; what counts is where the input of the forward pass was.",
)
def relu_backward_by_upstream(dout, cache):
    return np.maximum(dout, 0)


@mistake("relu_backward", "The gradient is multiplied by x; the derivative is 1 where x is positive.")
def relu_backward_times_input(dout, cache):
    return dout * np.maximum(cache, 0)


@mistake("relu_backward", "The gradient passes everywhere: where the input was negative it is 0.")
def relu_backward_passes_all(dout, cache):
    return dout.copy()


@mistake("relu_backward", "The mask alone is returned: multiply the upstream gradient with it.")
def relu_backward_without_upstream(dout, cache):
    return (cache > 0) * 1.0


@mistake(
    "relu_backward",
    "The gradient passes where the input was negative, and nowhere else: the wrong way round.",
)
def relu_backward_inverted(dout, cache):
    return dout * (cache < 0)


@mistake(
    "relu_backward",
    "dout itself is set to 0 where x was negative: the caller still needs it. Make a new array.",
)
def relu_backward_in_place(dout, cache):
    dout[cache <= 0] = 0
    return dout


# --- affine and ReLU


@mistake("affine_relu_forward", "The ReLU is missing.")
def affine_relu_without_relu(x, w, b):
    return affine_forward(x, w, b)[0], right_affine_relu_forward(x, w, b)[1]


@mistake("affine_relu_forward", "The ReLU comes first: it belongs after the affine layer.")
def affine_relu_in_other_order(x, w, b):
    return affine_forward(np.maximum(x, 0), w, b)[0], right_affine_relu_forward(x, w, b)[1]


@mistake(
    "affine_relu_forward", "The bias is added after the ReLU: it belongs to the affine layer, before it."
)
def affine_relu_bias_afterwards(x, w, b):
    return np.maximum(affine_forward(x, w, 0 * b)[0], 0) + b, right_affine_relu_forward(x, w, b)[1]


@mistake("affine_relu_forward", "The bias is left out of the affine layer.")
def affine_relu_without_bias(x, w, b):
    return np.maximum(affine_forward(x, w, 0 * b)[0], 0), right_affine_relu_forward(x, w, b)[1]


@mistake("affine_relu_backward", "The ReLU is skipped on the way back.")
def affine_relu_backward_skips_relu(dout, cache):
    return affine_backward(dout, cache[0])


@mistake(
    "affine_relu_backward",
    "The bias gradient is computed from dout as it came in: it must pass the ReLU first.",
)
def affine_relu_bias_before_relu(dout, cache):
    dx, dw, _ = right_affine_relu_backward(dout, cache)
    return dx, dw, dout.sum(axis=0)


@mistake(
    "affine_relu_backward",
    "The weight gradient is computed from dout as it came in: it must pass the ReLU first.",
)
def affine_relu_weights_before_relu(dout, cache):
    dx, _, db = right_affine_relu_backward(dout, cache)
    return dx, affine_backward(dout, cache[0])[1], db


@mistake(
    "affine_relu_backward",
    "The ReLU's mask is laid on dx, by the sign of the layer's input. It belongs on dout, by the sign of the "
    "affine layer's output.",
)
def affine_relu_mask_on_input(dout, cache):
    dx, dw, db = affine_backward(dout, cache[0])
    return dx * (cache[0][0] > 0), dw, db


# --- losses


@mistake(
    "svm_loss",
    "The right class is counted as well, which adds its margin of 1 for each example.",
    family="shifted",
)
def svm_counts_right_class(x, y):
    loss, dx = right_svm_loss(x, y)
    return loss + 1.0, dx


@mistake("svm_loss", "The margin of 1 is missing: max(0, x[k] - x[y] + 1).")
def svm_without_margin(x, y):
    return right_svm_loss(x - np.eye(x.shape[1])[y] * -1.0, y)


@mistake(
    "svm_loss", "The loss is summed over the batch: divide it by N, and the gradient too.", family="scaled"
)
def svm_summed(x, y):
    loss, dx = right_svm_loss(x, y)
    return loss * len(y), dx * len(y)


@mistake("svm_loss", "The loss is averaged and the gradient is not: divide it by N too.", family="scaled")
def svm_gradient_summed(x, y):
    loss, dx = right_svm_loss(x, y)
    return loss, dx * len(y)


@mistake(
    "svm_loss",
    "The gradient at the right class is -1 whenever a margin is violated; it is minus the number of "
    "violated margins.",
)
def svm_right_class_once(x, y):
    loss, dx = right_svm_loss(x, y)
    rows = np.arange(len(y))
    dx[rows, y] = np.where(dx[rows, y] < 0, -1 / len(y), 0)
    return loss, dx


@mistake("svm_loss", "The gradient at the right class is missing: each violated margin pushes its score up.")
def svm_right_class_forgotten(x, y):
    loss, dx = right_svm_loss(x, y)
    dx[np.arange(len(y)), y] = 0
    return loss, dx


@mistake("svm_loss", "The margins are squared: that is another loss, the squared hinge.")
def svm_squared(x, y):
    rows = np.arange(len(y))
    margins = np.maximum(x - x[rows, y][:, None] + 1, 0)
    margins[rows, y] = 0
    dx = 2 * margins / len(y)
    dx[rows, y] = -dx.sum(axis=1)
    return float((margins**2).sum() / len(y)), dx


@mistake("svm_loss", "Only the largest margin of each example counts; sum over all wrong classes.")
def svm_largest_only(x, y):
    rows = np.arange(len(y))
    margins = np.maximum(x - x[rows, y][:, None] + 1, 0)
    margins[rows, y] = 0
    dx = np.zeros(x.shape)
    worst = margins.argmax(axis=1)
    dx[rows, worst] = (margins[rows, worst] > 0) / len(y)
    dx[rows, y] -= dx[rows, worst]
    return float(margins.max(axis=1).sum() / len(y)), dx


@mistake(
    "softmax_loss",
    "exp overflows for large scores: subtract the largest score of each row first.",
    family="unstable",
)
def softmax_not_shifted(x, y):
    rows = np.arange(len(y))
    with np.errstate(all="ignore"):
        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        loss = -np.log(p[rows, y]).mean()
    dx = p.copy()
    dx[rows, y] -= 1
    return float(loss), dx / len(y)


@mistake(
    "softmax_loss",
    "The largest score of the whole batch is subtracted: rows with small scores lose their digits. Take the "
    "maximum of each row.",
    family="unstable",
)
def softmax_shifted_by_batch(x, y):
    rows = np.arange(len(y))
    with np.errstate(all="ignore"):
        p = np.exp(x - x.max())
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.log(p[rows, y]).mean()
    dx = p.copy()
    dx[rows, y] -= 1
    return float(loss), dx / len(y)


@mistake(
    "softmax_loss",
    "The logarithm is taken of probabilities that may have been rounded to 0: compute log p = x - "
    "log(sum(exp(x))).",
    family="unstable",
)
def softmax_log_of_zero(x, y):
    rows = np.arange(len(y))
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        loss = -np.log(p[rows, y]).mean()
    dx = p.copy()
    dx[rows, y] -= 1
    return float(loss), dx / len(y)


@mistake(
    "softmax_loss",
    "The loss is summed over the batch: divide it by N, and the gradient too.",
    family="scaled",
)
def softmax_summed(x, y):
    loss, dx = right_softmax_loss(x, y)
    return loss * len(y), dx * len(y)


@mistake("softmax_loss", "The loss is averaged and the gradient is not: divide it by N too.", family="scaled")
def softmax_gradient_summed(x, y):
    loss, dx = right_softmax_loss(x, y)
    return loss, dx * len(y)


@mistake("softmax_loss", "The gradient lacks the -1 at the right class: it is p minus the one-hot label.")
def softmax_gradient_is_p(x, y):
    loss, dx = right_softmax_loss(x, y)
    dx[np.arange(len(y)), y] += 1 / len(y)
    return loss, dx


@mistake("softmax_loss", "The sign of the loss is wrong: it is minus the mean of log p.", family="sign")
def softmax_wrong_sign(x, y):
    loss, dx = right_softmax_loss(x, y)
    return -loss, -dx


@mistake("softmax_loss", "The mean runs over all N * K entries, not over the N examples.", family="scaled")
def softmax_mean_over_classes(x, y):
    loss, dx = right_softmax_loss(x, y)
    return loss / x.shape[1], dx / x.shape[1]


# --- dropout


def dropout_with(x, dropout_param, factor, rate=None):
    """Dropout with a factor of its own for what is kept, and a cache to match."""
    if dropout_param["mode"] == "test":
        return right_dropout_forward(x, dropout_param)
    param = dropout_param if rate is None else {**dropout_param, "p": rate}
    _, mask = right_dropout_forward(x, param)
    mask = (mask > 0) * factor
    return x * mask, mask


@mistake(
    "dropout_forward",
    "What is kept is not scaled: divide it by 1 - p, so that the expected output is x.",
    family="scaled",
)
def dropout_not_scaled(x, dropout_param):
    return dropout_with(x, dropout_param, 1.0)


@mistake(
    "dropout_forward",
    "p is taken for the probability of keeping: here it is the probability of dropping. At p = 0.5 the two "
    "agree.",
    family="scaled",
)
def dropout_p_keeps(x, dropout_param):
    p = dropout_param["p"]
    return dropout_with(x, dropout_param, 1 / p if p else 1.0, rate=1 - p)


@mistake(
    "dropout_forward",
    "What is kept is divided by p; divide it by 1 - p. At p = 0.5 the two agree.",
    family="scaled",
)
def dropout_divided_by_p(x, dropout_param):
    p = dropout_param["p"]
    return dropout_with(x, dropout_param, 1 / p if p else 1.0)


@mistake("dropout_forward", "What is kept is multiplied by 1 - p instead of divided by it.", family="scaled")
def dropout_multiplied(x, dropout_param):
    return dropout_with(x, dropout_param, 1 - dropout_param["p"])


@mistake(
    "dropout_forward",
    "The factor is 2 for every p; it is 1 / (1 - p), which is 2 at p = 0.5 only.",
    family="scaled",
)
def dropout_always_doubled(x, dropout_param):
    return dropout_with(x, dropout_param, 2.0)


@mistake(
    "dropout_forward",
    "Test mode multiplies by 1 - p. That belongs to dropout that does not scale in training; inverted "
    "dropout leaves x as it is.",
    family="scaled",
)
def dropout_scaled_at_test_time(x, dropout_param):
    if dropout_param["mode"] == "test":
        return x * (1 - dropout_param["p"]), None
    return right_dropout_forward(x, dropout_param)


@mistake("dropout_forward", "Elements are dropped in test mode as well.")
def dropout_at_test_time(x, dropout_param):
    out, mask = right_dropout_forward(x, {**dropout_param, "mode": "train"})
    return (out, None) if dropout_param["mode"] == "test" else (out, mask)


@mistake(
    "dropout_forward",
    "One mask is drawn for a single example and used for the whole batch: draw one number for each element.",
)
def dropout_one_mask_for_batch(x, dropout_param):
    if dropout_param["mode"] == "test" or x.ndim < 2:
        return right_dropout_forward(x, dropout_param)
    _, mask = right_dropout_forward(x[0], dropout_param)
    mask = np.broadcast_to(mask, x.shape)
    return x * mask, mask


@mistake("dropout_forward", "The mask is always drawn from the same seed: without a seed it must differ.")
def dropout_constant_seed(x, dropout_param):
    return right_dropout_forward(x, {"seed": 0, **dropout_param})


@mistake("dropout_forward", 'dropout_param["seed"] is not used: equal seeds must give equal masks.')
def dropout_seed_ignored(x, dropout_param):
    return right_dropout_forward(x, {**dropout_param, "seed": None})


@mistake("dropout_backward", "The gradient is not masked: what was dropped has no influence on the loss.")
def dropout_backward_passes_all(dout, cache):
    return dout.copy()


@mistake(
    "dropout_backward",
    "The gradient is masked but not scaled: what is kept was divided by 1 - p on the way there.",
    family="scaled",
)
def dropout_backward_not_scaled(dout, cache):
    return dout if cache is None else dout * (cache > 0)


@mistake(
    "dropout_backward", "The scale is applied twice: the mask in the cache holds it already.", family="scaled"
)
def dropout_backward_scaled_twice(dout, cache):
    return dout if cache is None else dout * cache * cache


@mistake("dropout_backward", "Another mask is drawn in the backward pass; use that of the forward pass.")
def dropout_backward_new_mask(dout, cache):
    if cache is None:
        return dout
    return dout * np.random.permutation(cache.ravel()).reshape(cache.shape)


@mistake(
    "dropout_backward",
    "The gradient is divided by the factor of the forward pass: multiply it, too.",
    family="scaled",
)
def dropout_backward_divided(dout, cache):
    return dout if cache is None else np.where(cache > 0, dout / np.maximum(cache, 1), 0)


@mistake(
    "dropout_backward",
    "The gradient in test mode is 0; there out is x, and the gradient passes as it is.",
    family="zeros",
)
def dropout_backward_test_mode(dout, cache):
    return 0 * dout if cache is None else dout * cache


# --- FullyConnectedNet


@mistake(
    "fully_connected_net",
    "Ten classes are written into the code; their number is num_classes.",
    replaces="FullyConnectedNet.__init__",
)
def net_ten_classes(self, hidden_dims, *args, **sizes):
    right_net_init(self, hidden_dims, *args, **{**sizes, "num_classes": 10})


@mistake(
    "fully_connected_net",
    "weight_scale is used as the variance of the weights; it is their standard deviation.",
    replaces="FullyConnectedNet.__init__",
    family="function, scaled",
)
def net_scale_as_variance(self, hidden_dims, *args, weight_scale=1e-2, **sizes):
    right_net_init(self, hidden_dims, *args, weight_scale=np.sqrt(weight_scale), **sizes)


@mistake(
    "fully_connected_net",
    "The biases start at random values; they start at zero.",
    replaces="FullyConnectedNet.__init__",
)
def net_random_biases(self, hidden_dims, *args, weight_scale=1e-2, seed=0, **sizes):
    right_net_init(self, hidden_dims, *args, weight_scale=weight_scale, seed=seed, **sizes)
    rng = np.random.default_rng(seed)
    for name, value in self.params.items():
        if name[0] == "b":
            self.params[name] = (value + weight_scale * rng.normal(size=value.shape)).astype(value.dtype)


@mistake(
    "fully_connected_net",
    "The weights are drawn between 0 and 1 instead of from a normal distribution with mean 0.",
    replaces="FullyConnectedNet.__init__",
)
def net_uniform_weights(self, hidden_dims, *args, weight_scale=1e-2, seed=0, **sizes):
    right_net_init(self, hidden_dims, *args, weight_scale=weight_scale, seed=seed, **sizes)
    rng = np.random.default_rng(seed)
    for name, value in self.params.items():
        if name[0] == "W":
            self.params[name] = (weight_scale * rng.random(value.shape)).astype(value.dtype)


@mistake(
    "fully_connected_net",
    "Every layer starts with the same numbers, because the generator is made anew for each of them.",
    replaces="FullyConnectedNet.__init__",
)
def net_generator_for_each_layer(self, hidden_dims, *args, weight_scale=1e-2, seed=0, **sizes):
    right_net_init(self, hidden_dims, *args, weight_scale=weight_scale, seed=seed, **sizes)
    for name, value in self.params.items():
        if name[0] == "W":
            fresh = np.random.default_rng(seed).normal(size=value.shape)
            self.params[name] = (weight_scale * fresh).astype(value.dtype)


@mistake(
    "fully_connected_net",
    "dtype is ignored: the parameters of a float32 network are float64.",
    replaces="FullyConnectedNet.__init__",
)
def net_dtype_ignored(self, hidden_dims, *args, dtype=np.float64, **sizes):
    right_net_init(self, hidden_dims, *args, **sizes)
    self.dtype = dtype


def change_penalty(self, loss, grads, change):
    """Loss and gradients with `change`, a factor for each name, more (or less) of the penalty."""
    for name, factor in change.items():
        p = self.params[name]
        loss += 0.5 * factor * self.reg * float(np.sum(p * p))
        grads[name] = grads[name] + factor * self.reg * p
    return loss, grads


@mistake(
    "fully_connected_net",
    "The last layer is not regularised: the loop over the weights ends one layer too early.",
    replaces="FullyConnectedNet.loss",
    family="term",
)
def net_last_layer_free(self, X, y=None):
    if y is None:
        return right_net_loss(self, X)
    return change_penalty(self, *right_net_loss(self, X, y), {f"W{self.num_layers}": -1})


@mistake(
    "fully_connected_net",
    "The biases are regularised too; the penalty is on W only.",
    replaces="FullyConnectedNet.loss",
    family="term",
)
def net_biases_penalised(self, X, y=None):
    if y is None:
        return right_net_loss(self, X)
    biases = dict.fromkeys([name for name in self.params if name[0] == "b"], 1)
    return change_penalty(self, *right_net_loss(self, X, y), biases)


@mistake(
    "fully_connected_net",
    "The penalty lacks its factor 1/2: the loss adds 1/2 * reg * sum(W**2), whose gradient is reg * W.",
    replaces="FullyConnectedNet.loss",
    family="term",
)
def net_penalty_without_half(self, X, y=None):
    if y is None:
        return right_net_loss(self, X)
    loss, grads = right_net_loss(self, X, y)
    weights = dict.fromkeys([name for name in self.params if name[0] == "W"], 1)
    return change_penalty(self, loss, dict(grads), weights)[0], grads


@mistake(
    "fully_connected_net",
    "The gradient of the penalty is 2 * reg * W; with the factor 1/2 in the loss it is reg * W.",
    replaces="FullyConnectedNet.loss",
    family="term",
)
def net_penalty_gradient_doubled(self, X, y=None):
    if y is None:
        return right_net_loss(self, X)
    loss, grads = right_net_loss(self, X, y)
    return loss, {n: g + self.reg * self.params[n] if n[0] == "W" else g for n, g in grads.items()}


@mistake(
    "fully_connected_net",
    "The penalty is in the loss but not in the gradients: add reg * W to the gradient of each W.",
    replaces="FullyConnectedNet.loss",
    family="term",
)
def net_penalty_in_loss_only(self, X, y=None):
    if y is None:
        return right_net_loss(self, X)
    loss, grads = right_net_loss(self, X, y)
    return loss, {n: g - self.reg * self.params[n] if n[0] == "W" else g for n, g in grads.items()}


@mistake(
    "fully_connected_net",
    "The penalty is in the gradients but not in the loss: add 1/2 * reg * sum(W**2) for each W.",
    replaces="FullyConnectedNet.loss",
    family="term",
)
def net_penalty_in_gradients_only(self, X, y=None):
    if y is None:
        return right_net_loss(self, X)
    loss, grads = right_net_loss(self, X, y)
    weights = [value for name, value in self.params.items() if name[0] == "W"]
    return loss - 0.5 * self.reg * sum(float(np.sum(W * W)) for W in weights), grads


def net_pass(self, X, y, *, relu_back=True, last_relu=False, drop_last=False, one_cache=False):
    """The network's loss with parts moved, added or left out."""
    p, last = self.params, self.num_layers
    out, backs = X.astype(self.dtype), []

    def drop(out):
        if not self.use_dropout:
            return out
        out, cache = dropout_forward(out, self.dropout_param)
        backs.append((dropout_backward, cache, None))
        return out

    self.dropout_param["mode"] = "test" if y is None else "train"
    for layer in range(1, last + 1):
        out, cache = affine_forward(out, p[f"W{layer}"], p[f"b{layer}"])
        backs.append((affine_backward, cache, (f"W{layer}", f"b{layer}")))
        if layer < last or last_relu:
            out, cache = relu_forward(out)
            backs.append((relu_backward if relu_back else lambda d, _: d, cache, None))
            if layer < last:
                out = drop(out)
        if layer == last and drop_last:
            out = drop(out)
    if y is None:
        return out
    loss, d = softmax_loss(out, y)
    grads, last_mask = {}, None
    for back, cache, names in reversed(backs):
        if one_cache and back is dropout_backward:
            last_mask = cache if last_mask is None else last_mask
            cache = last_mask
        if names is None:
            d = back(d, cache)
        else:
            d, grads[names[0]], grads[names[1]] = back(d, cache)
    return change_penalty(self, loss, grads, dict.fromkeys([name for name in p if name[0] == "W"], 1))


@mistake(
    "fully_connected_net",
    "The last layer has a ReLU as well, which cuts off negative scores: it is affine only.",
    replaces="FullyConnectedNet.loss",
)
def net_relu_on_scores(self, X, y=None):
    return net_pass(self, X, y, last_relu=True)


@mistake(
    "fully_connected_net",
    "The backward pass skips the ReLU of the hidden layers.",
    replaces="FullyConnectedNet.loss",
)
def net_relu_backward_skipped(self, X, y=None):
    return net_pass(self, X, y, relu_back=False)


@mistake(
    "fully_connected_net",
    "The scores are dropped as well: dropout belongs after hidden layers only.",
    replaces="FullyConnectedNet.loss",
    family="scaled",  # of the loss of one example that is far off: a difference of scores, all of them scaled
)
def net_dropout_on_scores(self, X, y=None):
    return net_pass(self, X, y, drop_last=True)


@mistake(
    "fully_connected_net",
    "One dropout cache serves all layers, so that the gradient passes the mask of the last layer everywhere: "
    "keep one per layer.",
    replaces="FullyConnectedNet.loss",
)
def net_one_dropout_cache(self, X, y=None):
    return net_pass(self, X, y, one_cache=True)


@mistake(
    "fully_connected_net",
    "There is no dropout in training, although it was asked for.",
    replaces="FullyConnectedNet.loss",
)
def net_without_dropout(self, X, y=None):
    self.use_dropout = False
    return right_net_loss(self, X, y)


@mistake(
    "fully_connected_net",
    "Outputs are dropped without labels too: a network that is used, not trained, is in test mode.",
    replaces="FullyConnectedNet.loss",
)
def net_dropout_always(self, X, y=None):
    if y is not None or not self.use_dropout:
        return right_net_loss(self, X, y)
    p, out = self.params, X
    for layer in range(1, self.num_layers):
        out, _ = affine_relu_forward(out, p[f"W{layer}"], p[f"b{layer}"])
        out, _ = dropout_forward(out, {**self.dropout_param, "mode": "train"})
    return affine_forward(out, p[f"W{self.num_layers}"], p[f"b{self.num_layers}"])[0]


@mistake(
    "fully_connected_net",
    "dropout is turned round before it is handed on: it is the probability of dropping already.",
    replaces="FullyConnectedNet.__init__",
    family="scaled",
)
def net_dropout_turned_round(self, hidden_dims, *args, dropout=0.0, **sizes):
    right_net_init(self, hidden_dims, *args, dropout=1 - dropout if dropout else 0.0, **sizes)


@mistake(
    "fully_connected_net",
    "The loss is summed over the batch; softmax_loss gives the mean already, and so are its gradients.",
    replaces="FullyConnectedNet.loss",
    family="scaled",
)
def net_summed_loss(self, X, y=None):
    if y is None:
        return right_net_loss(self, X)
    reg, self.reg = self.reg, 0.0
    loss, grads = right_net_loss(self, X, y)
    self.reg = reg
    loss, grads = loss * len(y), {name: gradient * len(y) for name, gradient in grads.items()}
    return change_penalty(self, loss, grads, dict.fromkeys([name for name in grads if name[0] == "W"], 1))


# --- update rules


@mistake("sgd", "The step goes along the gradient, uphill: subtract it.", family="term, sign")
def sgd_uphill(w, dw, config=None):
    next_w, config = right_sgd(w, dw, config)
    return 2 * w - next_w, config


@mistake("sgd", "The learning rate is missing: w - learning_rate * dw.", family="term, scaled")
def sgd_without_rate(w, dw, config=None):
    return w - dw, right_sgd(w, dw, config)[1]


@mistake("sgd", "The learning rate is written into the code; take it from the config.", family="term, scaled")
def sgd_fixed_rate(w, dw, config=None):
    return w - 0.01 * dw, right_sgd(w, dw, config)[1]


@mistake(
    "sgd",
    "The gradient is divided by its length, which changes the length of every step.",
    family="term, scaled",
)
def sgd_normalised(w, dw, config=None):
    _, config = right_sgd(w, dw, config)
    return w - config["learning_rate"] * dw / np.linalg.norm(dw), config


@mistake(
    "sgd", "The gradient is multiplied by the learning rate in place: leave dw as it is.", family="scaled"
)
def sgd_scales_gradient(w, dw, config=None):
    result = right_sgd(w, dw, config)
    dw *= result[1]["learning_rate"]
    return result


@mistake("sgd_momentum", "The velocity is not kept in the config: every step is a first step.")
def momentum_forgotten(w, dw, config=None):
    next_w, config = right_momentum(w, dw, {k: v for k, v in (config or {}).items() if k != "velocity"})
    del config["velocity"]
    return next_w, config


@mistake(
    "sgd_momentum",
    "The velocity is subtracted although the gradient has its minus sign already: w + velocity.",
    family="term, sign",
)
def momentum_subtracted(w, dw, config=None):
    _, config = right_momentum(w, dw, config)
    return w - config["velocity"], config


@mistake(
    "sgd_momentum",
    "The gradient is weighted with 1 - momentum, as in a running average; the velocity takes it in full.",
    family="term, scaled",
)
def momentum_as_average(w, dw, config=None):
    mu = {"momentum": 0.9, **(config or {})}["momentum"]
    return right_momentum(w, (1 - mu) * dw, config)


@mistake(
    "sgd_momentum",
    "The gradient enters the velocity with a plus sign: the steps go uphill.",
    family="term, sign",
)
def momentum_uphill(w, dw, config=None):
    return right_momentum(w, -dw, config)


@mistake(
    "sgd_momentum",
    "This is Nesterov's form, which looks one step ahead: here w + velocity is asked for.",
    family="term, scaled",
)
def momentum_nesterov(w, dw, config=None):
    _, config = right_momentum(w, dw, config)
    return w + config["momentum"] * config["velocity"] - config["learning_rate"] * dw, config


@mistake("sgd_momentum", "The old velocity is used for the step, and only then is it updated.", family="term")
def momentum_one_step_late(w, dw, config=None):
    before = (config or {}).get("velocity", np.zeros_like(w))
    _, config = right_momentum(w, dw, config)
    return w + before, config


@mistake("sgd_momentum", "The momentum is written into the code; take it from the config.", family="term")
def momentum_fixed(w, dw, config=None):
    return right_momentum(w, dw, {**(config or {}), "momentum": 0.9})


def rmsprop_with(w, dw, config, average, step):
    """RMSProp with an average and a step of its own."""
    config = {
        "learning_rate": 1e-2,
        "decay_rate": 0.99,
        "epsilon": 1e-8,
        "cache": np.zeros_like(w),
        **(config or {}),
    }
    config["cache"] = average(config["cache"], config["decay_rate"], dw)
    return w - config["learning_rate"] * step(dw, config["cache"], config["epsilon"]), config


def right_average(cache, rho, dw):
    """The running average of the squares."""
    return rho * cache + (1 - rho) * dw**2


def right_step(dw, cache, epsilon):
    """The gradient over the root."""
    return dw / (np.sqrt(cache) + epsilon)


@mistake("rmsprop", "The root is missing: divide by the root of the average of the squares.")
def rmsprop_without_root(w, dw, config=None):
    return rmsprop_with(w, dw, config, right_average, lambda dw, cache, eps: dw / (cache + eps))


@mistake(
    "rmsprop",
    "The squares are summed up instead of averaged (that is AdaGrad): the steps die out.",
    family="scaled",
)
def rmsprop_adagrad(w, dw, config=None):
    return rmsprop_with(w, dw, config, lambda cache, rho, dw: cache + dw**2, right_step)


@mistake(
    "rmsprop",
    "The two weights are swapped: decay_rate belongs to the old average, 1 - decay_rate to the square.",
    family="scaled",
)
def rmsprop_swapped(w, dw, config=None):
    return rmsprop_with(w, dw, config, lambda cache, rho, dw: (1 - rho) * cache + rho * dw**2, right_step)


@mistake("rmsprop", "The average is one of gradients, not of their squares: signs cancel.")
def rmsprop_not_squared(w, dw, config=None):
    def average(cache, rho, dw):
        return rho * cache + (1 - rho) * dw

    return rmsprop_with(w, dw, config, average, lambda dw, cache, eps: dw / (np.sqrt(np.abs(cache)) + eps))


@mistake(
    "rmsprop",
    "epsilon is missing: where the gradient has always been 0, 0 is divided by 0.",
    family="unstable",
)
def rmsprop_without_epsilon(w, dw, config=None):
    with np.errstate(all="ignore"):
        return rmsprop_with(w, dw, config, right_average, lambda dw, cache, eps: dw / np.sqrt(cache))


@mistake("rmsprop", "The average is not kept in the config: every step is a first step.")
def rmsprop_forgotten(w, dw, config=None):
    next_w, config = right_rmsprop(w, dw, {k: v for k, v in (config or {}).items() if k != "cache"})
    del config["cache"]
    return next_w, config


@mistake("rmsprop", "The decay rate is written into the code; take it from the config.", family="scaled")
def rmsprop_fixed_decay(w, dw, config=None):
    return right_rmsprop(w, dw, {**(config or {}), "decay_rate": 0.99})


@mistake("rmsprop", "The step uses the average from before this gradient: update it first.")
def rmsprop_one_step_late(w, dw, config=None):
    config = {
        "learning_rate": 1e-2,
        "decay_rate": 0.99,
        "epsilon": 1e-8,
        "cache": np.zeros_like(w),
        **(config or {}),
    }
    next_w = w - config["learning_rate"] * right_step(dw, config["cache"], config["epsilon"])
    return next_w, {**config, "cache": right_average(config["cache"], config["decay_rate"], dw)}


def adam_with(w, dw, config, *, correct=(True, True), start=0, late=False, root=True):
    """Adam with parts left out."""
    defaults = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    config = {**defaults, "m": np.zeros_like(w), "v": np.zeros_like(w), "t": start, **(config or {})}
    beta1, beta2 = config["beta1"], config["beta2"]
    t = config["t"] + (0 if late else 1)
    m = beta1 * config["m"] + (1 - beta1) * dw
    v = beta2 * config["v"] + (1 - beta2) * dw**2
    with np.errstate(all="ignore"):
        corrected_m = m / (1 - np.float64(beta1) ** t) if correct[0] else m
        corrected_v = v / (1 - np.float64(beta2) ** t) if correct[1] else v
        size = np.sqrt(corrected_v) if root else corrected_v
        next_w = w - config["learning_rate"] * corrected_m / (size + config["epsilon"])
    return next_w, {**config, "m": m, "v": v, "t": config["t"] + 1}


@mistake(
    "adam",
    "The averages are not corrected for their start at zero: divide m and v by 1 - beta**t.",
    family="scaled",
)
def adam_not_corrected(w, dw, config=None):
    return adam_with(w, dw, config, correct=(False, False))


@mistake("adam", "Only m is corrected for its start at zero; v starts at zero too.", family="scaled")
def adam_v_not_corrected(w, dw, config=None):
    return adam_with(w, dw, config, correct=(True, False))


@mistake("adam", "Only v is corrected for its start at zero; m starts at zero too.", family="scaled")
def adam_m_not_corrected(w, dw, config=None):
    return adam_with(w, dw, config, correct=(False, True))


@mistake(
    "adam",
    "t is counted up after it was used: in the first step 1 - beta**0 is 0, and the step is no number.",
)
def adam_t_late(w, dw, config=None):
    return adam_with(w, dw, config, late=True)


@mistake(
    "adam",
    "t starts at 1 and is counted up before it is used, so that the first step is corrected as a second.",
    family="scaled",
)
def adam_t_from_one(w, dw, config=None):
    return adam_with(w, dw, config, start=1)


@mistake("adam", "t is never counted up: every step is corrected as if it were the first.", family="scaled")
def adam_t_stays(w, dw, config=None):
    next_w, config = right_adam(w, dw, {**(config or {}), "t": 0})
    return next_w, config


@mistake(
    "adam", "The corrected averages are stored in the config, so that the next step corrects them again."
)
def adam_stores_corrected(w, dw, config=None):
    next_w, config = right_adam(w, dw, config)
    t = config["t"]
    m, v = config["m"] / (1 - config["beta1"] ** t), config["v"] / (1 - config["beta2"] ** t)
    return next_w, {**config, "m": m, "v": v}


@mistake("adam", "The averages are not kept in the config: every step is a first step.")
def adam_forgotten(w, dw, config=None):
    settings = {k: v for k, v in (config or {}).items() if k not in ("m", "v", "t")}
    next_w, config = right_adam(w, dw, settings)
    return next_w, {k: v for k, v in config.items() if k not in ("m", "v", "t")}


@mistake("adam", "The root is missing: divide by the root of the corrected v.")
def adam_without_root(w, dw, config=None):
    return adam_with(w, dw, config, root=False)


@mistake("adam", "beta1 and beta2 are swapped: beta1 belongs to m, beta2 to v.")
def adam_betas_swapped(w, dw, config=None):
    config = {"beta1": 0.9, "beta2": 0.999, **(config or {})}
    beta1, beta2 = config["beta1"], config["beta2"]
    next_w, after = right_adam(w, dw, {**config, "beta1": beta2, "beta2": beta1})
    return next_w, {**after, "beta1": beta1, "beta2": beta2}


# --- Solver


@mistake(
    "solver",
    "One config serves all parameters, so that they share a velocity or an average: each needs its own.",
    replaces="Solver.step",
)
def solver_shared_config(self, batch):
    loss, grads = self.model.loss(self.X_train[batch], self.y_train[batch])
    self.loss_history.append(loss)
    first = next(iter(self.optim_configs))
    for name, w in self.model.params.items():
        next_w, config = self.update_rule(w, grads[name], self.optim_configs[first])
        self.model.params[name] = np.broadcast_to(next_w, w.shape) if next_w.ndim <= w.ndim else next_w[0]
        self.optim_configs = dict.fromkeys(self.optim_configs, config)


@mistake(
    "solver",
    "The config that the rule returns is thrown away, and with it its memory: every step is a first step.",
    replaces="Solver.step",
    family="partial",
)
def solver_config_thrown_away(self, batch):
    before = {
        name: {k: v for k, v in config.items() if k not in ("velocity", "cache", "m", "v", "t")}
        for name, config in self.optim_configs.items()
    }
    self.optim_configs = before
    right_solver_step(self, batch)


@mistake(
    "solver",
    "The update rule that was asked for is not used: every rule takes plain steps of sgd.",
    replaces="Solver.step",
)
def solver_always_sgd(self, batch):
    self.update_rule = sgd
    right_solver_step(self, batch)


@mistake(
    "solver",
    "optim_config is not used: the rule always has its default settings.",
    replaces="Solver.__init__",
)
def solver_settings_ignored(self, model, data, *args, optim_config=None, **options):
    right_solver_init(self, model, data, *args, **options)


@mistake(
    "solver",
    "The labels of a batch are not those of its examples: take X_train and y_train at the same indices.",
    replaces="Solver.step",
)
def solver_labels_not_shuffled(self, batch):
    labels, self.y_train = self.y_train, np.roll(self.y_train, 1)
    right_solver_step(self, batch)
    self.y_train = labels


@mistake(
    "solver",
    "Every step uses the whole training set; a step takes a batch of it.",
    replaces="Solver.step",
)
def solver_whole_set(self, batch):
    right_solver_step(self, np.arange(len(self.X_train)))


@mistake(
    "solver",
    "Batches are always the same: shuffle the training set at the start of each epoch.",
    replaces="Solver.train",
)
def solver_not_shuffled(self):
    class InOrder:
        def permutation(self, n):
            return np.arange(n)

        def choice(self, n, size, replace):
            return np.random.default_rng(0).choice(n, size, replace=replace)

    self.rng = InOrder()
    right_solver_train(self)


def solver_train(self, *, decay_each_step=False, decay=True, best=None, loss_each_step=True):
    """The training loop with parts moved or left out; `best` replaces the way in which the best are kept."""
    N, B = len(self.X_train), self.batch_size
    for _ in range(self.num_epochs):
        order = self.rng.permutation(N)
        for i in range(max(N // B, 1)):
            self.step(order[i * B : (i + 1) * B])
            if decay_each_step:
                for config in self.optim_configs.values():
                    config["learning_rate"] *= self.lr_decay
        if decay and not decay_each_step:
            for config in self.optim_configs.values():
                config["learning_rate"] *= self.lr_decay
        self.train_acc_history.append(self.check_accuracy(self.X_train, self.y_train, self.num_train_samples))
        val_acc = self.check_accuracy(self.X_val, self.y_val)
        self.val_acc_history.append(val_acc)
        if val_acc > self.best_val_acc or not self.best_params:
            self.best_val_acc = val_acc
            self.best_params = (
                self.model.params if best == "alias" else {n: w.copy() for n, w in self.model.params.items()}
            )
    if best is None:
        self.model.params = {n: w.copy() for n, w in self.best_params.items()}


@mistake(
    "solver",
    "The learning rate is multiplied by lr_decay after each step; it is to fall once per epoch.",
    replaces="Solver.train",
    family="partial",
)
def solver_decay_each_step(self):
    solver_train(self, decay_each_step=True)


@mistake(
    "solver",
    "lr_decay is not used: the learning rate never falls.",
    replaces="Solver.train",
    family="partial",
)
def solver_without_decay(self):
    solver_train(self, decay=False)


@mistake(
    "solver",
    "The model keeps the parameters of the last epoch: put the best ones into it at the end.",
    replaces="Solver.train",
)
def solver_keeps_last(self):
    solver_train(self, best="last")


@mistake(
    "solver",
    "best_params is the model's own dictionary, not a copy, and changes with every further step.",
    replaces="Solver.train",
)
def solver_best_not_copied(self):
    solver_train(self, best="alias")


@mistake(
    "solver",
    "The last batch in check_accuracy is left out when it is smaller than batch_size.",
    replaces="Solver.check_accuracy",
)
def accuracy_drops_last_batch(self, X, y, num_samples=None, batch_size=100):
    whole = len(X) // batch_size * batch_size or len(X)
    return right_check_accuracy(self, X[:whole], y[:whole], num_samples, batch_size)


@mistake(
    "solver",
    "check_accuracy averages the accuracies of the batches, in which examples of a smaller last batch count "
    "more.",
    replaces="Solver.check_accuracy",
)
def accuracy_averages_batches(self, X, y, num_samples=None, batch_size=100):
    if num_samples is not None and len(X) > num_samples:
        return right_check_accuracy(self, X, y, num_samples, batch_size)
    parts = [
        np.mean(self.model.loss(X[i : i + batch_size]).argmax(axis=1) == y[i : i + batch_size])
        for i in range(0, len(X), batch_size)
    ]
    return float(np.mean(parts))


@mistake(
    "solver",
    "check_accuracy takes the first num_samples examples; draw them at random.",
    replaces="Solver.check_accuracy",
)
def accuracy_of_first_examples(self, X, y, num_samples=None, batch_size=100):
    return right_check_accuracy(self, X[:num_samples], y[:num_samples], None, batch_size)


@mistake(
    "solver",
    "check_accuracy draws its sample with repetition: some examples count twice and others not at all.",
    replaces="Solver.check_accuracy",
)
def accuracy_with_repetition(self, X, y, num_samples=None, batch_size=100):
    if num_samples is not None and len(X) > num_samples:
        sample = self.rng.choice(len(X), num_samples)
        X, y = X[sample], y[sample]
    return right_check_accuracy(self, X, y, None, batch_size)


@mistake(
    "solver",
    "check_accuracy returns the number of right answers; it is their share that is asked for.",
    replaces="Solver.check_accuracy",
    family="scaled",
)
def accuracy_counts(self, X, y, num_samples=None, batch_size=100):
    n = len(X) if num_samples is None else min(num_samples, len(X))
    return n * right_check_accuracy(self, X, y, num_samples, batch_size)


@mistake(
    "solver",
    "The validation accuracy is measured on the training set.",
    replaces="Solver.__init__",
)
def solver_validates_on_training_set(self, model, data, *args, **options):
    data = {**data, "X_val": data["X_train"], "y_val": data["y_train"]}
    right_solver_init(self, model, data, *args, **options)
