"""Errors that students really make in 05_two_layer_net."""

import numpy as np

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_forward = nn_forward_pass
right_backward = nn_forward_backward
right_pictures = weight_pictures


# --- nn_forward_pass


def before_relu(params, X):
    """What the hidden units get, (N, H)."""
    return X @ params["W1"] + params["b1"]


def scores_of(params, hidden):
    """The second layer."""
    return hidden @ params["W2"] + params["b2"]


@mistake(
    "nn_forward_pass", "The ReLU is missing: without it, two layers are one linear classifier with more work."
)
def without_relu(params, X):
    hidden = before_relu(params, X)
    return scores_of(params, hidden), hidden


@mistake(
    "nn_forward_pass",
    "There is a ReLU on the scores too. The last layer has none: a score may be negative.",
)
def relu_on_scores(params, X):
    scores, hidden = right_forward(params, X)
    return np.maximum(scores, 0), hidden


@mistake("nn_forward_pass", "The scores are right, and hidden is returned as it is before the ReLU.")
def hidden_before_relu(params, X):
    return right_forward(params, X)[0], before_relu(params, X)


@mistake("nn_forward_pass", "The hidden units are tanh, as in the last assignment. Here they are ReLUs.")
def tanh_units(params, X):
    hidden = np.tanh(before_relu(params, X))
    return scores_of(params, hidden), hidden


@mistake("nn_forward_pass", "The bias of the hidden layer, b1, is missing.")
def without_b1(params, X):
    hidden = np.maximum(X @ params["W1"], 0)
    return scores_of(params, hidden), hidden


@mistake("nn_forward_pass", "The bias of the scores, b2, is missing.", family="shifted")
def without_b2(params, X):
    scores, hidden = right_forward(params, X)
    return scores - params["b2"], hidden


@mistake("nn_forward_pass", "b1 is added after the ReLU. It belongs inside: max(X @ W1 + b1, 0).")
def bias_after_relu(params, X):
    hidden = np.maximum(X @ params["W1"], 0) + params["b1"]
    return scores_of(params, hidden), hidden


@mistake("nn_forward_pass", "The two results are exchanged: scores first, hidden second.")
def results_exchanged(params, X):
    scores, hidden = right_forward(params, X)
    return hidden, scores


@mistake("nn_forward_pass", "The ReLU takes the absolute value: a negative sum should become 0.")
def absolute_value(params, X):
    hidden = np.abs(before_relu(params, X))
    return scores_of(params, hidden), hidden


@mistake("nn_forward_pass", "The ReLU has its sign reversed: it keeps what is negative, min instead of max.")
def reversed_relu(params, X):
    hidden = np.minimum(before_relu(params, X), 0)
    return scores_of(params, hidden), hidden


@mistake("nn_forward_pass", "The scores are turned into probabilities. Return them as they are.")
def probabilities_returned(params, X):
    scores, hidden = right_forward(params, X)
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True), hidden


# --- nn_forward_backward


def parts(params, X, y):
    """The mean cross-entropy, dS (N, C), and the hidden units (N, H)."""
    scores, hidden = nn_forward_pass(params, X)
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dscores = np.exp(log_p)
    dscores[np.arange(len(y)), y] -= 1
    return -log_p[np.arange(len(y)), y].mean(), dscores / len(y), hidden


def back(params, X, dscores, hidden, reg, mask=None):
    """The right way back, from a given dS on; `mask` may be given too."""
    dA = (dscores @ params["W2"].T) * (hidden > 0 if mask is None else mask)
    return {
        "W1": X.T @ dA + 2 * reg * params["W1"],
        "b1": dA.sum(axis=0),
        "W2": hidden.T @ dscores + 2 * reg * params["W2"],
        "b2": dscores.sum(axis=0),
    }


def squares(params, names):
    """Sum of the squares of some parameters."""
    return sum(np.sum(params[name] ** 2) for name in names)


@mistake(
    "nn_forward_backward",
    "There is a factor 1/2 in the penalty. Here it is reg * sum(W ** 2), without one.",
    family="term",
)
def half_penalty(params, X, y=None, reg=0.0):
    return right_backward(params, X, y, reg / 2)


@mistake(
    "nn_forward_backward",
    "The penalty is missing in the loss: add reg * (sum(W1**2) + sum(W2**2)).",
    family="term",
)
def no_penalty_in_loss(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    return right_backward(params, X, y)[0], right_backward(params, X, y, reg)[1]


@mistake(
    "nn_forward_backward",
    "The penalty is missing in the gradients: add 2 * reg * W to dW1 and dW2.",
    family="term",
)
def no_penalty_in_gradients(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    return right_backward(params, X, y, reg)[0], right_backward(params, X, y)[1]


@mistake(
    "nn_forward_backward",
    "The gradient of the penalty is 2 * reg * W: the derivative of W ** 2 has a factor 2.",
    family="term",
)
def penalty_gradient_without_two(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    return right_backward(params, X, y, reg)[0], right_backward(params, X, y, reg / 2)[1]


@mistake("nn_forward_backward", "Only W1 is penalised; W2 should be too.", family="term")
def second_layer_without_penalty(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    loss, grads = right_backward(params, X, y)
    return loss + reg * squares(params, ["W1"]), {**grads, "W1": grads["W1"] + 2 * reg * params["W1"]}


@mistake("nn_forward_backward", "Only W2 is penalised; W1 should be too.", family="term")
def first_layer_without_penalty(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    loss, grads = right_backward(params, X, y)
    return loss + reg * squares(params, ["W2"]), {**grads, "W2": grads["W2"] + 2 * reg * params["W2"]}


@mistake("nn_forward_backward", "The biases are penalised as well; they should go free.", family="term")
def biases_penalised(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    loss, grads = right_backward(params, X, y)
    return loss + reg * squares(params, params), {
        name: grads[name] + 2 * reg * value for name, value in params.items()
    }


@mistake(
    "nn_forward_backward",
    "The penalty is divided by N. It belongs outside of the mean over the pictures.",
    family="term",
)
def penalty_averaged(params, X, y=None, reg=0.0):
    return right_backward(params, X, y, reg / len(X))


@mistake(
    "nn_forward_backward",
    "The gradient passes through silent hidden units as well: dA is dZ only where the ReLU let something "
    "through, and 0 elsewhere.",
)
def relu_forgotten_on_the_way_back(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    _, dscores, hidden = parts(params, X, y)
    return right_backward(params, X, y, reg)[0], back(params, X, dscores, hidden, reg, mask=1.0)


@mistake(
    "nn_forward_backward",
    "The ReLU is applied to the gradient itself (where dZ > 0). What counts is where the hidden unit was "
    "positive on the way forward.",
)
def relu_of_the_gradient(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    _, dscores, hidden = parts(params, X, y)
    mask = dscores @ params["W2"].T > 0
    return right_backward(params, X, y, reg)[0], back(params, X, dscores, hidden, reg, mask)


@mistake(
    "nn_forward_backward",
    "The derivative of tanh, 1 - Z ** 2, is left from the last assignment. That of a ReLU is 1 or 0.",
)
def derivative_of_tanh(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    _, dscores, hidden = parts(params, X, y)
    return right_backward(params, X, y, reg)[0], back(params, X, dscores, hidden, reg, 1 - hidden**2)


@mistake(
    "nn_forward_backward",
    "Loss and gradients are summed over the pictures but not divided by N.",
    family="scaled",
)
def summed_over_pictures(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    loss, dscores, hidden = parts(params, X, y)
    loss = loss * len(X) + reg * squares(params, ["W1", "W2"])
    return loss, back(params, X, dscores * len(X), hidden, reg)


@mistake("nn_forward_backward", "The loss is divided by N, and the gradients are not.", family="scaled")
def gradients_summed(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    _, dscores, hidden = parts(params, X, y)
    return right_backward(params, X, y, reg)[0], back(params, X, dscores * len(X), hidden, reg)


@mistake(
    "nn_forward_backward",
    "dS holds the probabilities alone: 1 is to be subtracted at the right class, P - Y.",
)
def labels_not_subtracted(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    _, dscores, hidden = parts(params, X, y)
    dscores[np.arange(len(y)), y] += 1 / len(y)
    return right_backward(params, X, y, reg)[0], back(params, X, dscores, hidden, reg)


@mistake("nn_forward_backward", "The gradients have the wrong sign: dS is P - Y, not Y - P.", family="sign")
def gradients_reversed(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    _, dscores, hidden = parts(params, X, y)
    return right_backward(params, X, y, reg)[0], back(params, X, -dscores, hidden, reg)


@mistake(
    "nn_forward_backward",
    "The gradients of the biases are means over the pictures; they are sums of dS and dA.",
    family="scaled",
)
def bias_gradients_averaged(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    loss, grads = right_backward(params, X, y, reg)
    return loss, {k: v / len(X) if k.startswith("b") else v for k, v in grads.items()}


@mistake(
    "nn_forward_backward",
    "The gradients of the biases have the shape of one row, (1, H) and (1, C); they should have that of b1 "
    "and b2.",
    family="reshaped",
)
def bias_gradients_as_rows(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    loss, grads = right_backward(params, X, y, reg)
    return loss, {k: v[np.newaxis] if k.startswith("b") else v for k, v in grads.items()}


@mistake(
    "nn_forward_backward",
    "dW2 is made from the hidden units before the ReLU. The scores saw them after it: hidden.T @ dS.",
)
def second_gradient_before_relu(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    loss, grads = right_backward(params, X, y, reg)
    _, dscores, _ = parts(params, X, y)
    return loss, {**grads, "W2": before_relu(params, X).T @ dscores + 2 * reg * params["W2"]}


@mistake(
    "nn_forward_backward",
    "exp overflows for scores of 1000, and 0 / 0 is no number: subtract each picture's largest score first.",
    family="unstable",
)
def overflow(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    scores, hidden = nn_forward_pass(params, X)
    with np.errstate(all="ignore"):
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean() + reg * squares(params, ["W1", "W2"])
        p[np.arange(len(y)), y] -= 1
        return loss, back(params, X, p / len(y), hidden, reg)


@mistake("nn_forward_backward", "Without labels the scores alone should come back, not the pair with hidden.")
def pair_without_labels(params, X, y=None, reg=0.0):
    return nn_forward_pass(params, X) if y is None else right_backward(params, X, y, reg)


@mistake(
    "nn_forward_backward",
    "The way back ends at the second layer: db1 is zero, dW1 is its penalty alone. Go on with dZ and dA.",
    family="zeros",
)
def first_layer_not_trained(params, X, y=None, reg=0.0):
    if y is None:
        return right_backward(params, X)
    loss, grads = right_backward(params, X, y, reg)
    return loss, {**grads, "W1": 2 * reg * params["W1"], "b1": np.zeros_like(params["b1"])}


# --- nn_predict


@mistake("nn_predict", "argmax has the wrong axis: it runs over the pictures (0) instead of the classes (1).")
def best_picture_of_each_class(params, X):
    return np.argmax(nn_forward_pass(params, X)[0], axis=0)


@mistake("nn_predict", "This is the highest score itself. The class is its index: argmax, not max.")
def highest_score(params, X):
    return np.max(nn_forward_pass(params, X)[0], axis=1)


@mistake("nn_predict", "The lowest score wins: argmin where argmax belongs.")
def lowest_score(params, X):
    return np.argmin(nn_forward_pass(params, X)[0], axis=1)


@mistake(
    "nn_predict", "The answer is the loudest hidden unit. It should be the class with the highest score."
)
def loudest_hidden_unit(params, X):
    return np.argmax(nn_forward_pass(params, X)[1], axis=1)


@mistake("nn_predict", "The size of the scores is compared, without their sign: a very negative one wins.")
def largest_size(params, X):
    return np.argmax(np.abs(nn_forward_pass(params, X)[0]), axis=1)


@mistake("nn_predict", "argmax has no axis: it returns one number for the whole batch.")
def one_number_for_all(params, X):
    return np.argmax(nn_forward_pass(params, X)[0])


@mistake("nn_predict", "Of equal scores the last one wins; it should be the smaller class number.")
def last_of_equals(params, X):
    scores, _ = nn_forward_pass(params, X)
    return scores.shape[1] - 1 - np.argmax(scores[:, ::-1], axis=1)


@mistake(
    "nn_predict",
    "Probabilities are compared, and for large scores exp overflows. The scores have the same order: compare "
    "them.",
)
def overflowing_probabilities(params, X):
    with np.errstate(all="ignore"):
        exp = np.exp(nn_forward_pass(params, X)[0])
        return np.argmax(exp / exp.sum(axis=1, keepdims=True), axis=1)


# --- nn_train


def share(params, X, y):
    """The accuracy, from 0 to 1."""
    return float(np.mean(nn_predict(params, X) == y))


def descend(params, X, y, X_val, y_val, rate, decay, reg, steps, size, seed, **wrong):
    """The right loop, with a switch for each mistake."""
    params = dict(params)
    history = {"loss": [], "train_acc": [], "val_acc": []}
    epoch = wrong.get("epoch", len(X) // size)
    for t in range(wrong.get("first", 0), steps):
        batch = (X, y) if wrong.get("whole") else sample_batch(X, y, size, (seed, t * wrong.get("fresh", 1)))
        before = params
        loss, grads = nn_forward_backward(params, *batch, reg)
        params = {
            name: value - rate * grads[name] if name in wrong.get("names", params) else value
            for name, value in params.items()
        }
        if wrong.get("loss_after"):
            loss, _ = nn_forward_backward(params, *batch, reg)
        history["loss"].append(float(loss))
        if (t + wrong.get("counted_from", 1)) % epoch == 0:
            train = batch if wrong.get("on_batch") else (X, y)
            seen = before if wrong.get("before_step") else params
            history["train_acc"].append(share(seen, *train))
            history["val_acc"].append(share(seen, *((X, y) if wrong.get("no_val") else (X_val, y_val))))
            rate *= decay
        rate *= wrong.get("each_step", 1.0)
    return params, history


@mistake("nn_train", "The sign is wrong: the parameters move along the gradient, uphill, and the loss grows.")
def uphill(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params, X, y, X_val, y_val, -learning_rate, learning_rate_decay, reg, num_iters, batch_size, seed
    )


@mistake(
    "nn_train",
    "The learning rate never decays: multiply it by learning_rate_decay after each whole epoch.",
    family="partial",
)
def never_decays(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(params, X, y, X_val, y_val, learning_rate, 1.0, reg, num_iters, batch_size, seed)


@mistake(
    "nn_train",
    "The learning rate decays after every step; it should after every whole epoch, N // batch_size steps.",
    family="partial",
)
def decays_at_every_step(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        1.0,
        reg,
        num_iters,
        batch_size,
        seed,
        each_step=learning_rate_decay,
    )


@mistake(
    "nn_train",
    "Accuracies and decay come at step 0 already, where no epoch is over: ask whether t + 1 is a multiple.",
    family="partial",
)
def decay_of_an_epoch_too_early(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        counted_from=0,
    )


@mistake("nn_train", "Only W1 and W2 move. The biases have gradients too.")
def biases_not_trained(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        names=("W1", "W2"),
    )


@mistake("nn_train", "Only the second layer moves; W1 and b1 stay as they were at the start.")
def first_layer_frozen(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        names=("W2", "b2"),
    )


@mistake("nn_train", "Every step sees all of X instead of a batch.")
def whole_set(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        whole=True,
    )


@mistake(
    "nn_train", "One batch is drawn and used in all steps. Draw a fresh one in each, with the seed (seed, t)."
)
def one_batch_for_all(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        fresh=0,
    )


@mistake("nn_train", "The first step is number 0: one step too few is made.", family="offset")
def one_step_too_few(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        first=1,
    )


@mistake("nn_train", "reg is not passed on to the loss: training goes without a penalty.", family="term")
def without_penalty(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params, X, y, X_val, y_val, learning_rate, learning_rate_decay, 0.0, num_iters, batch_size, seed
    )


@mistake("nn_train", "The losses are noted after the step: entry t belongs before it.", family="offset")
def losses_after_the_step(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        loss_after=True,
    )


@mistake(
    "nn_train",
    "The accuracies are those of the parameters before the last step of the epoch; measure after it.",
)
def accuracy_before_the_step(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        before_step=True,
    )


@mistake("nn_train", "train_acc is measured on the last batch; it should be on all of X.")
def accuracy_of_the_batch(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        on_batch=True,
    )


@mistake("nn_train", "val_acc is measured on the training set. Use X_val and y_val.")
def training_set_for_both(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        no_val=True,
    )


@mistake(
    "nn_train",
    "The accuracies are noted and the rate decays at every step: an epoch is N // batch_size steps.",
    family="partial",
)
def accuracies_at_every_step(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        epoch=1,
    )


@mistake(
    "nn_train",
    "An epoch is taken to be N steps; with batches, N // batch_size of them see as many pictures.",
    family="partial",
)
def epoch_of_num_iters(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
        epoch=len(X),
    )


@mistake(
    "nn_train",
    "The gradients are divided by the size of the batch, which the loss has done already: the steps "
    "are too short.",
)
def averaged_twice(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    return descend(
        params,
        X,
        y,
        X_val,
        y_val,
        learning_rate / batch_size,
        learning_rate_decay,
        reg,
        num_iters,
        batch_size,
        seed,
    )


@mistake("nn_train", "The penalty counts twice: the gradients of W1 and W2 hold it already.")
def penalty_twice(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    params, history = dict(params), {"loss": [], "train_acc": [], "val_acc": []}
    for t in range(num_iters):
        loss, grads = nn_forward_backward(params, *sample_batch(X, y, batch_size, (seed, t)), reg)
        history["loss"].append(float(loss))
        for name in params:
            more = 2 * reg * params[name] if name in ("W1", "W2") else 0.0
            params[name] = params[name] - learning_rate * (grads[name] + more)
        if (t + 1) % (len(X) // batch_size) == 0:
            history["train_acc"].append(share(params, X, y))
            history["val_acc"].append(share(params, X_val, y_val))
            learning_rate *= learning_rate_decay
    return params, history


@mistake(
    "nn_train",
    "The steps change the caller's arrays in place (-= does, even in a copy of the dict), so that the next "
    "run does not start where it should: write params[name] = params[name] - ....",
)
def arrays_changed_in_place(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    trained, history = descend(
        params, X, y, X_val, y_val, learning_rate, learning_rate_decay, reg, num_iters, batch_size, seed
    )
    for name, value in trained.items():
        params[name][...] = value
    return trained, history


# --- weight_pictures


def scaled(pictures, by):
    """Each picture divided by its own number; those of zeros stay zeros."""
    by = np.asarray(by, dtype=float).reshape(-1, *[1] * (pictures.ndim - 1))
    return pictures / np.where(by == 0, 1, by)


def templates(W1, image_shape):
    """Column h as picture h, not scaled."""
    return W1.T.reshape(-1, *image_shape)


@mistake(
    "weight_pictures",
    "W1 is reshaped without being transposed: that cuts through its rows, and each picture is a mixture of "
    "all units.",
    family="transposed",
)
def not_transposed(W1, image_shape):
    pictures = W1.reshape(-1, *image_shape)
    return scaled(pictures, np.abs(pictures).reshape(len(pictures), -1).max(axis=1))


@mistake(
    "weight_pictures",
    "One number scales all pictures. Divide each template by its own largest absolute value.",
    family="scaled",
)
def one_scale_for_all(W1, image_shape):
    return templates(W1, image_shape) / np.abs(W1).max()


@mistake(
    "weight_pictures",
    "The templates are as they were: divide each by its largest absolute value.",
    family="scaled",
)
def not_scaled(W1, image_shape):
    return templates(W1, image_shape)


@mistake(
    "weight_pictures",
    "Minimum and maximum are stretched to 0 and 1, so that zero lands anywhere. Divide by the largest "
    "absolute value.",
)
def stretched(W1, image_shape):
    low, high = W1.min(axis=0), W1.max(axis=0)
    return templates((W1 - low) / np.where(high == low, 1, high - low), image_shape)


@mistake(
    "weight_pictures",
    "Each template is divided by its largest value, without regard to sign: take the largest absolute value.",
    family="scaled",
)
def divided_by_maximum(W1, image_shape):
    return scaled(templates(W1, image_shape), W1.max(axis=0))


@mistake(
    "weight_pictures",
    "The sign is lost: a weight that speaks against looks like one that speaks for.",
    family="function",
)
def sign_lost(W1, image_shape):
    return np.abs(right_pictures(W1, image_shape))


@mistake(
    "weight_pictures",
    "Pictures of zeros come out as NaN, 0 / 0: leave such a template as it is.",
    family="unstable, partial",
)
def nothing_by_nothing(W1, image_shape):
    with np.errstate(all="ignore"):
        return (W1 / np.abs(W1).max(axis=0)).T.reshape(-1, *image_shape)


@mistake(
    "weight_pictures",
    "Each template is divided by its length (the root of its sum of squares).",
    family="scaled",
)
def divided_by_length(W1, image_shape):
    return scaled(templates(W1, image_shape), np.linalg.norm(W1, axis=0))


# --- nn_search


def runs_of(settings, X, y, X_val, y_val, C, steps, size, seed, *, onwards=False, sizes=None, swapped=False):
    """(setting, accuracies, parameters) of every run, with a switch for each mistake."""
    runs, start = [], None
    for setting in settings:
        if start is None or not onwards or start["b1"].shape != (setting["hidden_dim"],):
            start = initialize(X.shape[1], sizes or setting["hidden_dim"], C, seed)
        pair = setting["learning_rate"], setting["reg"]
        rate, reg = pair[::-1] if swapped else pair
        options = {"learning_rate": rate, "reg": reg, "num_iters": steps, "batch_size": size, "seed": seed}
        params, _ = nn_train(start, X, y, X_val, y_val, **options)
        runs.append((setting, (share(params, X, y), share(params, X_val, y_val)), params))
        start = params
    return runs


def choose(runs, value):
    """The three results, where `value` of the accuracies decides."""
    best = max(runs, key=lambda run: value(run[1]))
    return best[0], best[2], [accuracies for _, accuracies, _ in runs]


def validation(accuracies):
    """What ought to decide."""
    return accuracies[1]


@mistake(
    "nn_search",
    "The training accuracy chooses. It always favours what learns by heart: let the validation set choose.",
)
def chosen_by_training(
    settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0
):
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, num_iters, batch_size, seed)
    return choose(runs, lambda accuracies: accuracies[0])


@mistake("nn_search", "The lowest validation accuracy is chosen: these are accuracies, not losses.")
def worst_chosen(
    settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0
):
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, num_iters, batch_size, seed)
    return choose(runs, lambda accuracies: -accuracies[1])


@mistake(
    "nn_search",
    "Of equal validation accuracies the last one wins: compare with >, so that the first one stays.",
)
def last_of_equal_settings(
    settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0
):
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, num_iters, batch_size, seed)
    best, params, _ = choose(runs[::-1], validation)
    return best, params, choose(runs, validation)[2]


@mistake("nn_search", "best_params are those of the last run instead of the best one.")
def parameters_of_the_last_run(
    settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0
):
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, num_iters, batch_size, seed)
    best, _, accuracies = choose(runs, validation)
    return best, runs[-1][2], accuracies


@mistake("nn_search", "Every network has the size of the first setting: use the hidden_dim of each.")
def one_size_for_all(
    settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0
):
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, num_iters, batch_size, seed, sizes=settings[0]["hidden_dim"])
    return choose(runs, validation)


@mistake(
    "nn_search",
    "A run goes on from the parameters of the one before where the sizes agree. Start every run afresh.",
)
def runs_go_on(settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0):
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, num_iters, batch_size, seed, onwards=True)
    return choose(runs, validation)


@mistake("nn_search", "Learning rate and penalty are exchanged where the training is called.")
def rate_and_penalty_exchanged(
    settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0
):
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, num_iters, batch_size, seed, swapped=True)
    return choose(runs, validation)


@mistake("nn_search", "The accuracies are per cent; they should be shares from 0 to 1.", family="scaled")
def accuracies_in_per_cent(
    settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0
):
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, num_iters, batch_size, seed)
    best, params, accuracies = choose(runs, validation)
    return best, params, [(100 * a, 100 * b) for a, b in accuracies]


@mistake(
    "nn_search",
    "num_iters, batch_size and seed are not passed on: every run uses the defaults of the training.",
)
def options_not_passed_on(
    settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0
):
    if len(X_train) < 200:
        batch_size = len(X_train)
    else:
        batch_size = 200
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, 100, batch_size, 0)
    return choose(runs, validation)


@mistake("nn_search", "The pairs are turned round: training accuracy first, validation accuracy second.")
def accuracies_exchanged(
    settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0
):
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, num_iters, batch_size, seed)
    best, params, accuracies = choose(runs, validation)
    return best, params, [(b, a) for a, b in accuracies]


@mistake("nn_search", "best is the number of the setting; it should be the setting itself.")
def index_returned(
    settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0
):
    data = X_train, y_train, X_val, y_val
    runs = runs_of(settings, *data, num_classes, num_iters, batch_size, seed)
    best, params, accuracies = choose(runs, validation)
    return settings.index(best), params, accuracies
