# %% [markdown]
# # 1. Linear regression
#
# Two thermometers hang side by side. One shows degrees Celsius, the other degrees Fahrenheit, and the
# second one is not very good: its readings scatter by about a degree. You have 160 pairs of readings and no
# formula. Can a program find the law that connects them?
#
# You know the law, $F = 1.8\,C + 32$, and that is why we start here: you will see at once how close the
# program gets. The parts are those of every network in this course: a **model** with parameters, a **loss**
# that says how wrong it is, its **gradient**, **gradient descent** that follows it, and **held-out data**
# that tells whether anything was learned.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import matplotlib.pyplot as plt
import numpy as np

from autograder import check, load_dataset

plt.rcParams.update({"figure.figsize": (7, 4), "axes.grid": True, "grid.alpha": 0.3, "axes.axisbelow": True})

# %% [markdown]
# ## The readings
#
# $N = 160$ examples with $D = 1$ feature each. We keep the features in a matrix `x` of shape $(N, D)$ even
# though it has one column: nothing below will change when there are a thousand.

# %% tags=["show"]
data = load_dataset("celsius_fahrenheit")
x, y = data.x_train, data.y_train
print("x:", x.shape, " y:", y.shape)

plt.plot(x[:, 0], y, "o", markersize=4, alpha=0.6)
plt.xlabel("Celsius thermometer (°C)")
plt.ylabel("Fahrenheit thermometer (°F)")
plt.title("160 pairs of readings")
plt.show()

# %% [markdown]
# ## 1.1 The model
#
# A linear model multiplies each feature by a weight, adds the products up and adds a bias. For one example
# $x_i$ with $D$ features, $\hat y_i = \sum_{d} x_{id} w_d + b$; for all of them at once,
#
# $$\hat y = X w + b, \qquad
# \underbrace{\hat y}_{(N,)} = \underbrace{X}_{(N,\,D)}\;\underbrace{w}_{(D,)} +
# \underbrace{b}_{\text{number}} .$$
#
# For our thermometers $w$ is the slope, about 1.8, and $b$ the intercept, about 32. The model does not know
# that.


# %% question="predict"
def predict(x, w, b):
    """Return the predictions of a linear model.

    Args:
        x: features, shape (N, D).
        w: weights, shape (D,).
        b: bias, a number.

    Returns:
        Predictions, shape (N,): one number for each example.
    """
    ### BEGIN SOLUTION
    return x @ w + b
    ### END SOLUTION


# %%
check("predict")

# %% [markdown]
# ## 1.2 The loss
#
# To improve $w$ and $b$ we need one number that says how wrong they are. The mean squared error is the
# usual choice for regression,
#
# $$L = \frac{1}{N} \sum_{i=1}^{N} (\hat y_i - y_i)^2 .$$
#
# The square makes every error count as positive, and a large error count more than several small ones. Some
# books put a factor ½ in front; we do not, so $L$ is the variance of the thermometer's noise when the model
# is right.
#
# A trap: NumPy subtracts an array of shape `(N,)` from one of shape `(N, 1)` without complaint, and returns
# the $N^2$ differences of everything with everything. Keep both at `(N,)`.


# %% question="mse_loss"
def mse_loss(y_pred, y):
    """Return the mean squared error.

    Args:
        y_pred: predictions, shape (N,).
        y: targets, shape (N,).

    Returns:
        The mean of the squared differences, a number (no factor 1/2).
    """
    ### BEGIN SOLUTION
    difference = y_pred - y
    return np.mean(difference**2)
    ### END SOLUTION


# %%
check("mse_loss")

# %% [markdown]
# With one weight and one bias, every model is a point in a plane, and the loss is a landscape over it: a
# bowl with one lowest point. It is tilted, because a line that is too steep makes up for some of it by a
# lower intercept.

# %% tags=["show"]
slopes, intercepts = np.meshgrid(np.linspace(0.5, 3.1, 80), np.linspace(-10, 74, 80))
landscape = [
    mse_loss(predict(x, np.array([w]), b), y) for w, b in zip(slopes.flat, intercepts.flat, strict=True)
]
landscape = np.reshape(landscape, slopes.shape)

plt.contourf(slopes, intercepts, np.log10(landscape), levels=30, cmap="viridis")
plt.colorbar(label="log10 of the mean squared error")
plt.plot(1.8, 32, "r*", markersize=14, label="the true law")
plt.xlabel("slope w")
plt.ylabel("intercept b")
plt.title("The loss of every straight line")
plt.legend()
plt.show()

# %% [markdown]
# ## 1.3 The gradient
#
# Trying every point of the plane works for two parameters and for no network. The gradient tells, from
# where we stand, which way is up. Write $e_i = \hat y_i - y_i$ for the error of example $i$. The chain rule
# gives
#
# $$\frac{\partial L}{\partial w_d} = \frac{2}{N} \sum_{i} e_i\, x_{id}, \qquad
# \frac{\partial L}{\partial b} = \frac{2}{N} \sum_{i} e_i .$$
#
# The first is a sum over examples for each feature, that is, a product of $X^\top$, of shape $(D, N)$, with
# the errors, of shape $(N,)$. A gradient always has the shape of the parameter it belongs to.


# %% question="mse_gradients"
def mse_gradients(x, y, w, b):
    """Return the gradients of the mean squared error of a linear model.

    Args:
        x: features, shape (N, D).
        y: targets, shape (N,).
        w: weights, shape (D,).
        b: bias, a number.

    Returns:
        dw: gradient with respect to w, shape (D,).
        db: gradient with respect to b, a number.
    """
    ### BEGIN SOLUTION
    error = predict(x, w, b) - y
    dw = 2 * x.T @ error / len(y)
    db = 2 * np.mean(error)
    return dw, db
    ### END SOLUTION


# %%
check("mse_gradients")

# %% [markdown]
# Do not trust a gradient that you derived by hand before you have compared it with **finite differences**:
# move one parameter by a tiny $h$ to both sides and see how the loss changes, $\frac{\partial L}{\partial
# w} \approx \frac{L(w + h) - L(w - h)}{2h}$. The two columns below must agree.

# %% tags=["show"]
w, b, h = np.array([1.0]), 5.0, 1e-5
dw, db = mse_gradients(x, y, w, b)
dw_numeric = (mse_loss(predict(x, w + h, b), y) - mse_loss(predict(x, w - h, b), y)) / (2 * h)
db_numeric = (mse_loss(predict(x, w, b + h), y) - mse_loss(predict(x, w, b - h), y)) / (2 * h)
print(f"dw: {dw[0]:12.5f}   finite differences: {dw_numeric:12.5f}")
print(f"db: {db:12.5f}   finite differences: {db_numeric:12.5f}")

# %% [markdown]
# ## 1.4 Gradient descent
#
# Start anywhere, look which way is up, and take a step the other way, again and again:
#
# $$w \leftarrow w - \eta\, \frac{\partial L}{\partial w}, \qquad
# b \leftarrow b - \eta\, \frac{\partial L}{\partial b} .$$
#
# The learning rate $\eta$ sets the length of the steps. Both gradients belong to the *same* point: compute
# both before you change either parameter. We start at $w = 0$, $b = 0$ and use all examples in every step;
# one step is then one epoch.


# %% question="train"
def train(x, y, learning_rate, epochs):
    """Fit a linear model by gradient descent on the mean squared error.

    Args:
        x: features, shape (N, D).
        y: targets, shape (N,).
        learning_rate: length of the steps.
        epochs: number of steps, each on all examples; 0 is allowed.

    Returns:
        w: weights, shape (D,), from a start at zero.
        b: bias, a number, from a start at zero.
        losses: a list of `epochs` numbers: losses[e] is the loss just before step e, so that losses[0] is
            the loss of the start.
    """
    ### BEGIN SOLUTION
    w, b, losses = np.zeros(x.shape[1]), 0.0, []
    for _ in range(epochs):
        losses.append(mse_loss(predict(x, w, b), y))
        dw, db = mse_gradients(x, y, w, b)
        w = w - learning_rate * dw
        b = b - learning_rate * db
    return w, b, losses
    ### END SOLUTION


# %%
check("train")

# %% [markdown]
# Three learning rates on the readings as they are. One is timid, one is about as large as it can be, and
# one is only a little larger.

# %% tags=["show"]
for rate in (0.0001, 0.0014, 0.0018):
    w, b, losses = train(x, y, rate, 60)
    plt.semilogy(losses, label=f"learning rate {rate}:  w = {w[0]:.3g}, b = {b:.3g}")
plt.axhline(np.mean((y - 1.8 * x[:, 0] - 32) ** 2), color="gray", linestyle="--", label="the true law")
plt.ylim(0.5, 1e6)
plt.xlabel("step")
plt.ylabel("mean squared error")
plt.title("Raw readings: no learning rate is good")
plt.legend(loc="upper right", fontsize=8)
plt.show()

# %% [markdown]
# After 60 steps the best of them has hardly an intercept yet, and so the wrong slope; with a larger rate
# the loss explodes. The readings are to blame: Celsius values reach 50, and the landscape is curved
# hundreds of times more along $w$ than along $b$. The steep direction limits the rate, and the flat one
# then takes thousands of steps. In 1.6 you will mend that. First, a precaution.
#
# ## 1.5 Held-out data
#
# A model is worth what it predicts for readings that it has *not* seen. So we set a part of them aside
# before anything else and touch it only to measure. The examples are shuffled first, in case that they were
# recorded in some order, and shuffled by a seed, so that tomorrow's split is today's.


# %% question="train_test_split"
def train_test_split(x, y, test_fraction, seed):
    """Split examples at random into a training and a test part; each row keeps its target.

    Args:
        x: features, shape (N, D).
        y: targets, shape (N,).
        test_fraction: share of the examples for the test part, from 0 to 1. Their number is
            test_fraction * N, rounded to the nearest whole number; 0 gives an empty test part.
        seed: a whole number. The same seed gives the same split, another seed another one.

    Returns:
        x_train, x_test, y_train, y_test (in this order), new arrays: x and y stay as they are.
    """
    ### BEGIN SOLUTION
    order = np.random.default_rng(seed).permutation(len(x))
    num_test = round(test_fraction * len(x))
    test, train = order[:num_test], order[num_test:]
    return x[train], x[test], y[train], y[test]
    ### END SOLUTION


# %%
check("train_test_split")

# %% [markdown]
# ## 1.6 Standardisation
#
# To give every direction of the landscape the same steepness, shift each feature to mean 0 and scale it to
# standard deviation 1:
#
# $$x'_{id} = \frac{x_{id} - \mu_d}{\sigma_d}, \qquad \mu_d = \frac1N \sum_i x_{id}, \qquad
# \sigma_d^2 = \frac1N \sum_i (x_{id} - \mu_d)^2 .$$
#
# Two things go wrong easily. The test part is transformed with the $\mu$ and $\sigma$ **of the training
# part**: a model in use sees one reading at a time, which has no mean and no deviation of its own, and
# whatever is computed from the test part is a leak. And a feature that is the same everywhere has $\sigma_d
# = 0$; use 1 in its place.


# %% question="standardize"
def standardize(x_train, x_test):
    """Shift and scale each feature by the mean and standard deviation that it has in the training part.

    Args:
        x_train: features, shape (N, D), N at least 1.
        x_test: features, shape (M, D).

    Returns:
        x_train_std: shape (N, D), each column with mean 0 and standard deviation 1 (a constant column
            becomes 0).
        x_test_std: shape (M, D), transformed with the training part's numbers.
        mean: shape (D,).
        std: shape (D,), divided by N (not N - 1), with 1 in place of 0 for a constant feature.
    """
    ### BEGIN SOLUTION
    mean = x_train.mean(axis=0)
    std = x_train.std(axis=0)
    std = np.where(std == 0, 1.0, std)
    return (x_train - mean) / std, (x_test - mean) / std, mean, std
    ### END SOLUTION


# %%
check("standardize")

# %% [markdown]
# ## 1.7 Back to degrees
#
# A model trained on standardised features has a slope "per standard deviation". Put the definition of $x'$
# into $\hat y = \sum_d x'_d w'_d + b'$ and collect what stands beside $x_d$, and what stands alone:
#
# $$w_d = \frac{w'_d}{\sigma_d}, \qquad b = b' - \sum_d \frac{w'_d\, \mu_d}{\sigma_d} .$$


# %% question="to_original_units"
def to_original_units(w, b, mean, std):
    """Turn the parameters of a model on standardised features into those for the original features.

    Args:
        w: weights on the standardised features, shape (D,).
        b: bias on the standardised features, a number.
        mean, std: what `standardize` returned, shape (D,) each.

    Returns:
        w: weights on the original features, shape (D,).
        b: bias on the original features, a number.
    """
    ### BEGIN SOLUTION
    w_original = w / std
    b_original = b - w_original @ mean
    return w_original, b_original
    ### END SOLUTION


# %%
check("to_original_units")

# %% [markdown]
# ## The whole way
#
# Split, standardise, train, translate back. Forty readings are held out.

# %% tags=["show"]
x_train, x_test, y_train, y_test = train_test_split(x, y, 0.25, seed=0)
x_train_std, x_test_std, mean, std = standardize(x_train, x_test)
w_std, b_std, losses = train(x_train_std, y_train, learning_rate=0.1, epochs=60)
w, b = to_original_units(w_std, b_std, mean, std)

print(f"slope      {w[0]:8.4f}   true:  1.8    off by {abs(w[0] / 1.8 - 1):.2%}")
print(f"intercept  {b:8.4f}   true: 32.0    off by {abs(b / 32 - 1):.2%}")
print(f"mean squared error  training {mse_loss(predict(x_train, w, b), y_train):.3f}")
print(f"                    test     {mse_loss(predict(x_test, w, b), y_test):.3f}")

# %% tags=["show"]
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
left.semilogy(losses)
left.set(
    xlabel="step", ylabel="mean squared error (training)", title="Standardised: down to the noise in 30 steps"
)

line = np.array([[-32.0], [52.0]])
right.plot(x_train[:, 0], y_train, "o", markersize=4, alpha=0.5, label="training readings")
right.plot(x_test[:, 0], y_test, "s", markersize=4, label="held-out readings")
right.plot(line[:, 0], predict(line, w, b), "k-", label=f"F = {w[0]:.3f} C + {b:.2f}")
right.set(xlabel="°C", ylabel="°F", title="The law that was found")
right.legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# And this is why it worked. Both pictures show the loss over the plane of models and the path of the
# descent from its start at zero. On raw readings it jumps to and fro across a narrow valley (mind the
# scales: drawn with equal ones, the left valley would be ten times narrower) and creeps along its floor.
# On standardised readings the bowl is round, and the steepest way down leads to the middle.

# %% tags=["show"]


def descent_path(x, y, learning_rate, steps):
    """Every point that gradient descent visits, shape (steps + 1, 2)."""
    points = [train(x, y, learning_rate, epochs)[:2] for epochs in range(steps + 1)]
    return np.array([(w[0], b) for w, b in points])


def show_descent(axes, x, y, learning_rate, w_range, b_range, title):
    """Draw the loss over the plane of models, and the descent in it."""
    ws, bs = np.meshgrid(np.linspace(*w_range, 60), np.linspace(*b_range, 60))
    loss = [mse_loss(predict(x, np.array([w]), b), y) for w, b in zip(ws.flat, bs.flat, strict=True)]
    axes.contour(ws, bs, np.log10(np.reshape(loss, ws.shape)), levels=18, cmap="viridis")
    path = descent_path(x, y, learning_rate, 40)
    axes.plot(path[:, 0], path[:, 1], "r.-", linewidth=1, label="40 steps")
    lowest = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    axes.plot(*lowest, "k*", markersize=12, label="lowest point")
    axes.set(xlabel="w", ylabel="b", title=title)
    axes.legend(loc="upper right")


fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5))
show_descent(left, x_train, y_train, 0.0014, (-1, 5), (-5, 60), "Raw readings, learning rate 0.0014")
show_descent(right, x_train_std, y_train, 0.1, (-5, 85), (-5, 85), "Standardised, learning rate 0.1")
fig.tight_layout()
plt.show()

# %% [markdown]
# **What to take along.** A model, a loss, a gradient, a step, and data set aside: the rest of the course
# changes the model and the loss, and leaves the scheme as it is. Both errors come out near 1, the variance
# of the thermometer's noise, which no model can predict. (That the held-out one is the lower of the two is
# the luck of forty readings.) Where the training error is far below the test error, the model has learned
# the noise by heart: a line with two parameters cannot, a network with a million can.
