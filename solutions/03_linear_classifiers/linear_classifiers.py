# %% [markdown]
# # 3. Linear classifiers
#
# The nearest neighbours of the last assignment learn nothing. They keep every training picture and compare
# a new one with all of them, each time they are asked; and on photographs they name one in three. All that
# they know is likeness of pixels, and each pixel counts as much as any other.
#
# A **linear classifier** turns this round. It keeps *one* template for each class, and has to *learn* it: a
# picture of weights that are positive where ink (or blue, or brightness) speaks for the class, and negative
# where it speaks against it. The training set may be forgotten afterwards. To answer is to compare the new
# picture with ten templates instead of 50,000 pictures.
#
# On the way you meet most of what deep learning is made of: scores, a **loss** that says how wrong they
# are, its **gradient**, a **penalty** on large weights, **mini-batches**, and a search for the
# **hyper-parameters**. A neural network will change one thing only: where the scores come from.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## The pictures
#
# If the CIFAR-10 photographs are on this machine, 9,000 of them are for training, 1,000 for validation and
# 1,000 for the test. Otherwise the handwritten digits that scikit-learn carries take their place: 1,138 for
# training, 300 for validation and 359 for the test.

# %% tags=["show"]
from autograder.datasets import DatasetMissing

try:
    data, num_val = load_dataset("cifar10", num_train=10000, num_test=1000), 1000
except DatasetMissing:
    print("CIFAR-10 is not on this machine. To get it (170 MB), run in a terminal:")
    print("    autograder data fetch cifar10\n")
    data, num_val = load_dataset("digits"), 300

C = len(data.classes)
print(data)

# %% [markdown]
# ## Scores
#
# A picture is flattened into a row $x$ of $P$ pixels. Each class $j$ has a template $w_j$ of $P$ weights
# and a bias $b_j$, and its **score** is
#
# $$s_j = \sum_{p=1}^{P} x_p\, w_{pj} + b_j .$$
#
# The class with the highest score is the answer. That is all of the classifier; what follows is how to find
# good weights.
#
# One convenience first, the **bias trick**: append a feature that is 1 for every picture. Its weights are
# added to the scores whatever the picture shows, which is what a bias does. So with $D = P + 1$ features
# and all templates side by side as the columns of one matrix $W$ of shape $(D, C)$, the scores of $N$
# pictures are a single matrix product, and there is a single gradient to derive:
#
# $$S = X W, \qquad (N, C) = (N, D) \cdot (D, C) .$$
#
# It also helps to **centre** the pictures: subtract from each the mean picture *of the training set* (you
# know from assignment 1 why it must not be the test set's).


# %%
def prepare(images, mean_image):
    """Flatten pictures, centre them, and append the feature that is 1. Returns shape (N, P + 1)."""
    rows = images.reshape(len(images), -1) - mean_image
    return np.hstack([rows, np.ones((len(rows), 1), dtype=rows.dtype)])


# %% tags=["show"]
pixels = data.x_train.reshape(len(data.x_train), -1)
mean_image = pixels[num_val:].mean(axis=0)
X_val, y_val = prepare(data.x_train[:num_val], mean_image), data.y_train[:num_val]
X_train, y_train = prepare(data.x_train[num_val:], mean_image), data.y_train[num_val:]
X_test, y_test = prepare(data.x_test, mean_image), data.y_test
D = X_train.shape[1]
print(
    f"X_train {X_train.shape}, X_val {X_val.shape}, X_test {X_test.shape}: D = {D} features, C = {C} classes"
)


def as_picture(column):
    """The pixels of a feature vector or template (the bias is left out), shape (H, W) or (H, W, 3)."""
    picture = column[:-1].reshape(data.x_train.shape[1:])
    return picture.transpose(1, 2, 0) if picture.ndim == 3 else picture


def show(axes, picture, title="", signed=True):
    """Draw a picture without axes; signed grey values from red (negative) over white to blue (positive)."""
    limit = np.abs(picture).max()
    if picture.ndim == 3:
        axes.imshow(0.5 + 0.5 * picture / limit if signed else picture)
    elif signed:
        axes.imshow(picture, cmap="RdBu", vmin=-limit, vmax=limit)
    else:
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


fig, grid = plt.subplots(2, 5, figsize=(9, 4.2), layout="constrained")
for j, axes in enumerate(grid.flat):
    show(axes, as_picture(X_train[y_train == j].mean(axis=0)), data.classes[j])
fig.suptitle("The mean picture of each class, centred: a first guess at a template")
plt.show()

# %% [markdown]
# ## 3.1 The SVM loss, with loops
#
# When are scores good? The **multiclass support vector machine** has a simple demand: the right class
# should score higher than every other one, by a **margin** of at least 1. A class that meets the demand
# costs nothing, one that does not costs what is missing. With $y_i$ the right class of picture $i$ and
# $s_{ij}$ its scores,
#
# $$L = \frac1N \sum_{i=1}^{N} \; \sum_{j \ne y_i} \max\big(0,\; s_{ij} - s_{i y_i} + 1\big)
#   \;+\; \text{reg} \sum_{d, j} W_{dj}^2 .$$
#
# The last term is the **penalty** (or L2 regularisation). Without it, $2W$ would always be as good as $W$,
# or better; with it, the weights are as small as the data allow, and no single pixel gets to decide. It is
# on all of $W$ here, as our biases are a row of it; later, when they stand apart, they go free.
#
# **The gradient.** Look at one term with a positive margin $s_{ij} - s_{iy_i} + 1$. Two columns of $W$ take
# part: a little more weight in column $j$ raises $s_{ij} = \sum_d x_{id} W_{dj}$ and so the loss, in
# proportion to $x_i$; a little more in column $y_i$ lowers it by as much.
#
# $$\text{for each } i \text{ and each } j \ne y_i \text{ with } s_{ij} - s_{iy_i} + 1 > 0: \qquad
# \frac{\partial L}{\partial W_{:,j}} \mathrel{+}= \frac{x_i}{N}, \qquad
# \frac{\partial L}{\partial W_{:,y_i}} \mathrel{-}= \frac{x_i}{N} .$$
#
# The penalty adds $2\,\text{reg}\,W$. (At a margin of exactly 0 the loss has a kink; either side will do.)
#
# Write it with plain loops, over the pictures and over the classes.


# %% question="svm_loss_naive"
def svm_loss_naive(W, X, y, reg):
    """Return the multiclass SVM loss and its gradient, one picture and one class at a time.

    Args:
        W: weights, shape (D, C).
        X: features, shape (N, D), N at least 1.
        y: class numbers from 0 to C - 1, shape (N,). Not every class need occur.
        reg: strength of the penalty reg * sum(W ** 2), a number.

    Returns:
        loss: mean over the pictures of the sum over the wrong classes, plus the penalty; a number.
        dW: its gradient, shape (D, C).
    """
    ### BEGIN SOLUTION
    N, C = len(X), W.shape[1]
    loss, dW = 0.0, np.zeros(W.shape)
    for i in range(N):
        scores = X[i] @ W
        for j in range(C):
            margin = scores[j] - scores[y[i]] + 1
            if j != y[i] and margin > 0:
                loss += margin / N
                dW[:, j] += X[i] / N
                dW[:, y[i]] -= X[i] / N
    return loss + reg * np.sum(W**2), dW + 2 * reg * W
    ### END SOLUTION


# %%
check("svm_loss_naive")

# %% [markdown]
# **Two questions to ask of any new loss.** *What is it at the start?* With $W = 0$ all scores are 0, every
# wrong class misses its margin by 1, and the loss must be $C - 1$. *Is the gradient the derivative?* Move
# one weight by a tiny $h$ to either side and look at the loss: $(L(W + h) - L(W - h)) / 2h$ must be the
# gradient's entry. That is slow and takes no thought, which makes it a good witness; `check` asks it for
# you.

# %% tags=["show"]
loss, dW = svm_loss_naive(np.zeros((D, C)), X_train[:100], y_train[:100], reg=0.1)
print(f"loss at W = 0: {loss:.6f}, and C - 1 = {C - 1}")

h, W = 1e-5, 0.01 * np.random.default_rng(0).normal(size=(D, C))
_, dW = svm_loss_naive(W, X_train[:100], y_train[:100], reg=0.1)
print("\n   entry       gradient     difference quotient")
for d, j in ((20, 3), (36, 8), (D - 1, 0)):
    step = np.zeros((D, C))
    step[d, j] = h
    above, below = (svm_loss_naive(w, X_train[:100], y_train[:100], reg=0.1)[0] for w in (W + step, W - step))
    print(f"W[{d:>4}, {j}]   {dW[d, j]:12.8f}   {(above - below) / (2 * h):12.8f}")

# %% [markdown]
# ## 3.2 The SVM loss, without loops
#
# Training calls the loss thousands of times, so let NumPy do the loops. All scores come from one matrix
# product. The score of the right class, one per picture, is picked by an array of row numbers and an array
# of column numbers, `scores[np.arange(N), y]`; with the shape $(N, 1)$ it is subtracted from every column.
#
# For the gradient, collect the rule above in a matrix $M$ of shape $(N, C)$ that says how often $x_i$ is
# added to column $j$:
#
# $$M_{ij} = \begin{cases} 1 & j \ne y_i \text{ and the margin is positive} \\ 0 & j \ne y_i \text{ and it is
# not} \\ -(\text{number of positive margins in row } i) & j = y_i \end{cases}
# \qquad\qquad \frac{\partial L}{\partial W} = \frac1N\, X^\top M + 2\,\text{reg}\,W .$$
#
# Check the shapes: $(D, N) \cdot (N, C)$ is $(D, C)$. When in doubt about a product, they rarely leave a
# choice.


# %% question="svm_loss_vectorized"
def svm_loss_vectorized(W, X, y, reg):
    """Return the multiclass SVM loss and its gradient without a loop, many times faster than with two.

    Arguments and results are those of svm_loss_naive: W (D, C), X (N, D), y (N,), reg -> loss, dW (D, C).
    """
    ### BEGIN SOLUTION
    N = len(X)
    rows = np.arange(N)
    scores = X @ W
    margins = np.maximum(0, scores - scores[rows, y][:, np.newaxis] + 1)
    margins[rows, y] = 0
    loss = margins.sum() / N + reg * np.sum(W**2)

    M = (margins > 0).astype(X.dtype)
    M[rows, y] = -M.sum(axis=1)
    return loss, X.T @ M / N + 2 * reg * W
    ### END SOLUTION


# %%
check("svm_loss_vectorized")

# %% [markdown]
# The two agree; the time they take does not.


# %% tags=["show"]
def compare(naive, vectorized):
    """Print how far two versions of a loss are apart, and how long each takes on 500 pictures."""
    W = 0.01 * np.random.default_rng(1).normal(size=(D, C)).astype(X_train.dtype)
    arguments = W, X_train[:500], y_train[:500], 0.1
    (loss_a, dW_a), (loss_b, dW_b) = naive(*arguments), vectorized(*arguments)
    same = np.isclose(loss_a, loss_b, rtol=1e-4) and np.allclose(dW_a, dW_b, rtol=1e-3, atol=1e-5)
    print(
        "the same loss and gradient" if same else "NOT the same: the gradients differ by up to",
        "" if same else np.abs(dW_a - dW_b).max(),
    )


def time_it(function):
    """Seconds of one call on 500 pictures."""
    W = 0.01 * np.random.default_rng(1).normal(size=(D, C)).astype(X_train.dtype)
    start = time.perf_counter()
    function(W, X_train[:500], y_train[:500], 0.1)
    return time.perf_counter() - start


compare(svm_loss_naive, svm_loss_vectorized)

# %% tags=["show", "timing"]
naive, vectorized = time_it(svm_loss_naive), min(time_it(svm_loss_vectorized) for _ in range(5))
print(f"{naive * 1e3:.1f} ms with loops, {vectorized * 1e3:.2f} ms without: {naive / vectorized:.0f} to 1")

# %% [markdown]
# ## 3.3 The softmax loss, with loops
#
# The SVM is content once the margins are met. The **softmax** classifier never quite is: it reads the
# scores as the logarithms of unnormalised probabilities,
#
# $$p_{ij} = \frac{e^{s_{ij}}}{\sum_k e^{s_{ik}}},$$
#
# and its loss, the **cross-entropy**, is the negative logarithm of the probability that it gives to the
# right class:
#
# $$L = -\frac1N \sum_{i=1}^{N} \log p_{i y_i} \;+\; \text{reg} \sum_{d, j} W_{dj}^2 .$$
#
# The gradient is one of the small wonders of the trade. With $\log p_{iy_i} = s_{iy_i} - \log \sum_k
# e^{s_{ik}}$, the derivative of the loss of picture $i$ with respect to the score $s_{ij}$ is $p_{ij} - 1$
# for the right class and $p_{ij}$ for all others: what was predicted minus what was true. The chain rule
# then gives
#
# $$\frac{\partial L}{\partial W_{:,j}} = \frac1N \sum_{i=1}^{N} \big(p_{ij} - [\,j = y_i\,]\big)\, x_i
#   \;+\; 2\,\text{reg}\,W_{:,j} .$$
#
# **A trap.** $e^{710}$ is too large for a float64: it becomes infinity, and $\infty / \infty$ is not a
# number. And $e^{-750}$ is 0. But only the *differences* of scores matter: subtracting the same number from
# all scores of a picture multiplies numerator and denominator by the same factor. So subtract the largest:
# the exponents are then 0 or less, and one of them is 0.


# %% question="softmax_loss_naive"
def softmax_loss_naive(W, X, y, reg):
    """Return the softmax loss (mean cross-entropy) and its gradient, one picture and one class at a time.

    Args:
        W: weights, shape (D, C).
        X: features, shape (N, D), N at least 1.
        y: class numbers from 0 to C - 1, shape (N,). Not every class need occur.
        reg: strength of the penalty reg * sum(W ** 2), a number.

    Returns:
        loss: mean over the pictures, plus the penalty; a number. An offset on all scores, be it 1000 or
            -1000, does not change it.
        dW: its gradient, shape (D, C).
    """
    ### BEGIN SOLUTION
    N, C = len(X), W.shape[1]
    loss, dW = 0.0, np.zeros(W.shape)
    for i in range(N):
        scores = X[i] @ W
        scores = scores - scores.max()
        p = np.exp(scores) / np.exp(scores).sum()
        loss -= np.log(p[y[i]]) / N
        for j in range(C):
            dW[:, j] += (p[j] - (j == y[i])) * X[i] / N
    return loss + reg * np.sum(W**2), dW + 2 * reg * W
    ### END SOLUTION


# %%
check("softmax_loss_naive")

# %% [markdown]
# **The two losses compared**, for two classes: the horizontal axis is the lead of the right class, $s_y -
# s_j$. The SVM's loss is a line with a kink; behind the margin it does not care. The softmax loss is a
# smooth version of it that goes on asking for more, ever more softly. Far to the left both are lines of
# slope $-1$: a picture that is hopelessly wrong pulls no harder than one that is merely wrong.

# %% tags=["show"]
leads = np.linspace(-4, 4, 161)
one, label = np.ones((1, 1)), np.array([1])
curves = {
    "SVM": [svm_loss_naive(np.array([[0.0, lead]]), one, label, 0.0) for lead in leads],
    "softmax": [softmax_loss_naive(np.array([[0.0, lead]]), one, label, 0.0) for lead in leads],
}
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for name, values in curves.items():
    left.plot(leads, [loss for loss, _ in values], label=name)
    right.plot(leads, [dW[0, 1] for _, dW in values], label=name)
left.axvline(1, color="gray", linestyle=":", label="the margin")
right.axvline(1, color="gray", linestyle=":")
left.set(xlabel="lead of the right class", title="loss of one picture")
right.set(xlabel="lead of the right class", title="its derivative by the score of the right class")
left.legend()
plt.show()

# %% [markdown]
# ## 3.4 The softmax loss, without loops
#
# The same tools: one matrix product for the scores, maxima and sums along axis 1 that keep their axis
# (`keepdims=True`), the right classes picked by `[np.arange(N), y]`. With $P$ the matrix of probabilities
# and $Y$ the matrix that is 1 at $(i, y_i)$ and 0 elsewhere,
#
# $$\frac{\partial L}{\partial W} = \frac1N\, X^\top (P - Y) + 2\,\text{reg}\,W .$$


# %% question="softmax_loss_vectorized"
def softmax_loss_vectorized(W, X, y, reg):
    """Return the softmax loss and its gradient without a loop, many times faster than with two.

    Arguments and results are those of softmax_loss_naive: W (D, C), X (N, D), y (N,), reg -> loss, dW (D, C).
    """
    ### BEGIN SOLUTION
    N = len(X)
    rows = np.arange(N)
    scores = X @ W
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[rows, y].mean() + reg * np.sum(W**2)

    dscores = np.exp(log_p)
    dscores[rows, y] -= 1
    return loss, X.T @ dscores / N + 2 * reg * W
    ### END SOLUTION


# %%
check("softmax_loss_vectorized")

# %% tags=["show"]
compare(softmax_loss_naive, softmax_loss_vectorized)
loss, _ = softmax_loss_vectorized(np.zeros((D, C)), X_train, y_train, reg=0.1)
print(f"loss at W = 0: {loss:.6f}, and log C = {np.log(C):.6f}")

# %% tags=["show", "timing"]
naive, vectorized = time_it(softmax_loss_naive), min(time_it(softmax_loss_vectorized) for _ in range(5))
print(f"{naive * 1e3:.1f} ms with loops, {vectorized * 1e3:.2f} ms without: {naive / vectorized:.0f} to 1")

# %% [markdown]
# ## 3.5 A mini-batch
#
# Gradient descent as in assignment 1 looks at *all* examples before each step. With 50,000 photographs that
# is a long look for one small step. A random sample of 200 gives the same gradient on average, with some
# noise, for 1/250 of the work: so take 250 noisy steps instead of one exact one. That is **stochastic
# gradient descent**.
#
# The sample has to be random, and drawn afresh for each step. In file order, pictures of one class may
# stand together, and a batch that shows only cats teaches that everything is a cat.
#
# So that a run can be repeated, randomness comes from a seed: `np.random.default_rng(seed)` makes a
# generator of a whole number *or of several*, which it mixes well. `(seed, t)` is a seed of its own for
# step $t$ of a run.


# %% question="sample_batch"
def sample_batch(X, y, batch_size, seed):
    """Draw a random mini-batch.

    Every example is as likely as any other, and which ones come is independent of their order in X. Whether
    one example may come twice in a batch is up to you; both ways are common.

    Args:
        X: features, shape (N, ...).
        y: class numbers, shape (N,).
        batch_size: size of the batch, from 1 to N.
        seed: for np.random.default_rng: a whole number or a tuple of whole numbers. Equal seeds give equal
            batches, other seeds other ones.

    Returns:
        X_batch: shape (batch_size, ...), some rows of X.
        y_batch: shape (batch_size,), the class numbers of these rows.
    """
    ### BEGIN SOLUTION
    chosen = np.random.default_rng(seed).integers(len(X), size=batch_size)
    return X[chosen], y[chosen]
    ### END SOLUTION


# %%
check("sample_batch")

# %% [markdown]
# **How noisy is the gradient of a batch?** Each point is one batch: its distance from the gradient of the
# whole training set, relative to that gradient's length. Four times the batch halves the noise, at four
# times the cost. (With much data, small batches are a bargain.)

# %% tags=["show"]
W = np.zeros((D, C))
_, exact = softmax_loss_vectorized(W, X_train, y_train, 0.0)
sizes = [8, 32, 128, 512]
noise = {size: [] for size in sizes}
for size in sizes:
    for draw in range(30):
        _, dW = softmax_loss_vectorized(W, *sample_batch(X_train, y_train, size, (size, draw)), 0.0)
        noise[size].append(np.linalg.norm(dW - exact) / np.linalg.norm(exact))

plt.figure(figsize=(6.5, 3.6), layout="constrained")
for size in sizes:
    plt.plot([size] * len(noise[size]), noise[size], "o", color="tab:blue", alpha=0.35, markersize=5)
first = np.mean(noise[sizes[0]])
plt.plot(
    sizes,
    [first * np.sqrt(sizes[0] / size) for size in sizes],
    "--",
    color="gray",
    label=r"$1/\sqrt{\text{size}}$",
)
plt.xscale("log", base=2)
plt.yscale("log")
plt.xticks(sizes, [str(size) for size in sizes])
plt.yticks([0.125, 0.25, 0.5, 1, 2, 4], ["1/8", "1/4", "1/2", "1", "2", "4"])
plt.minorticks_off()
plt.xlabel("size of the batch")
plt.ylabel("relative error of the gradient")
plt.legend()
plt.show()

# %% [markdown]
# ## 3.6 Training
#
# Now the loop. Step $t = 0, 1, 2, \dots$ draws a batch, asks for the loss and the gradient *on this batch,
# with the weights as they are*, notes the loss, and then moves the weights against the gradient:
#
# $$W \leftarrow W - \text{learning rate} \cdot \frac{\partial L}{\partial W} .$$
#
# Both losses are convex: there is one valley, and every way down leads to its floor. So $W = 0$ is as good
# a start as any. (Enjoy it while it lasts. A network that starts at zero never learns.)


# %% question="train_linear_classifier"
def train_linear_classifier(
    loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0
):
    """Train by stochastic gradient descent.

    Args:
        loss: which loss to use, "svm" or "softmax".
        W: weights to start from, shape (D, C); not modified.
        X: features, shape (N, D).
        y: class numbers, shape (N,).
        learning_rate: length of the steps.
        reg: strength of the penalty.
        num_iters: number of steps; 0 is allowed.
        batch_size: size of a batch, from 1 to N.
        seed: a whole number. Step t = 0, 1, ... draws its batch with
            sample_batch(X, y, batch_size, (seed, t)).

    Returns:
        W: the weights after the last step, shape (D, C).
        loss_history: a list of num_iters numbers; entry t is the loss, penalty included, on the batch of
            step t before the weights move.
    """
    loss_function = {"svm": svm_loss_vectorized, "softmax": softmax_loss_vectorized}[loss]
    ### BEGIN SOLUTION
    loss_history = []
    for t in range(num_iters):
        X_batch, y_batch = sample_batch(X, y, batch_size, (seed, t))
        batch_loss, dW = loss_function(W, X_batch, y_batch, reg)
        loss_history.append(float(batch_loss))
        W = W - learning_rate * dW
    return W, loss_history
    ### END SOLUTION


# %%
check("train_linear_classifier")

# %% [markdown]
# **Three learning rates for each loss.** Light: the loss of each batch; bold: its running mean. A rate that
# is too small has not arrived by the end; one that is too large jumps from one side of the valley to the
# other and never settles. The SVM needs smaller steps: at the start, each picture pulls at *nine* wrong
# classes with full force, where softmax shares out a total force of one.

# %% tags=["show"]
START = np.zeros((D, C), dtype=X_train.dtype)
photographs = data.name == "cifar10"
rates = {
    "softmax": (0.0003, 0.01, 0.3) if photographs else (0.03, 1.0, 100.0),
    "svm": (0.00003, 0.001, 0.03) if photographs else (0.003, 0.1, 30.0),
}
fig, panels = plt.subplots(1, 2, figsize=(11, 3.9), layout="constrained")
for axes, loss in zip(panels, rates, strict=True):
    for rate, line in zip(rates[loss], ("tab:gray", "tab:blue", "tab:orange"), strict=True):
        _, history = train_linear_classifier(loss, START, X_train, y_train, rate, 1e-4, 400, 100)
        smooth = np.convolve(history, np.ones(20) / 20, mode="valid")
        axes.plot(history, color=line, alpha=0.2, linewidth=0.8)
        axes.plot(np.arange(10, 10 + len(smooth)), smooth, color=line, label=f"learning rate {rate:g}")
    axes.set(xlabel="step", ylabel="loss of the batch", title=loss, yscale="log")
    axes.legend()
plt.show()

# %% [markdown]
# ## 3.7 The answer
#
# The answer for a picture is the class with the highest score. No exponential is needed, and the penalty
# plays no part.


# %% question="predict"
def predict(W, X):
    """Return the class with the highest score for each picture; of equal scores, the smaller class number.

    Args:
        W: weights, shape (D, C).
        X: features, shape (N, D).

    Returns:
        Class numbers, whole numbers from 0 to C - 1, shape (N,).
    """
    ### BEGIN SOLUTION
    return np.argmax(X @ W, axis=1)
    ### END SOLUTION


# %%
check("predict")

# %% [markdown]
# **What a linear classifier can say, and what it cannot.** Points in the plane have two features and the
# constant one. Two scores are equal along a straight line, so that each class gets a region with straight
# edges. Three heaps (left) are no trouble. In the middle, each class has two opposite corners. On the
# right, one class encircles the other, and the best that a line can do is to call everything orange. No
# templates fit there, however long one trains.

# %% tags=["show"]


def heaps(rng):
    """Three heaps of points."""
    y = np.arange(150) % 3
    return np.array([[-1.2, -0.8], [1.3, -0.6], [0.0, 1.4]])[y] + 0.45 * rng.normal(size=(150, 2)), y


def corners(rng):
    """Two classes, each in two opposite corners."""
    x = rng.uniform(-1.8, 1.8, size=(150, 2))
    return x + 0.2 * np.sign(x), (x[:, 0] * x[:, 1] > 0).astype(int)


def rings(rng):
    """A heap and a ring around it."""
    y = (np.arange(150) % 3 > 0).astype(int)
    angle, radius = (
        rng.uniform(0, 2 * np.pi, size=150),
        np.where(y == 0, 0.5, 1.6) + 0.15 * rng.normal(size=150),
    )
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), y


grid_x, grid_y = np.meshgrid(np.linspace(-2.3, 2.3, 200), np.linspace(-2.3, 2.3, 200))
plane = prepare(np.column_stack([grid_x.ravel(), grid_y.ravel()]), 0.0)
colours = np.array(["tab:blue", "tab:orange", "tab:green"])
fig, axes = plt.subplots(1, 3, figsize=(11, 3.9), layout="constrained")
for ax, make in zip(axes, (heaps, corners, rings), strict=True):
    points, labels = make(np.random.default_rng(2))
    K = labels.max() + 1
    features = prepare(points, 0.0)
    W, _ = train_linear_classifier("softmax", np.zeros((3, K)), features, labels, 0.5, 1e-4, 500, 50)
    regions = predict(W, plane).reshape(grid_x.shape)
    ax.contourf(grid_x, grid_y, regions, levels=np.arange(4) - 0.5, colors=colours, alpha=0.2)
    ax.scatter(*points.T, c=colours[labels], s=12)
    ax.set(xlim=(-2.3, 2.3), ylim=(-2.3, 2.3), aspect="equal", xticks=[], yticks=[])
    ax.set_title(f"{np.mean(predict(W, features) == labels):.0%} right")
plt.show()

# %% [markdown]
# ## 3.8 The search for hyper-parameters
#
# Learning rate and penalty are not learned; they have to be chosen. As with $k$, neither the training set
# nor the test set may choose: on the one the penalty would always be 0, and the other is for the last line
# of the work only. With enough data there is no need to cross-validate: a single part held out, the
# **validation set**, does.
#
# So try every pair on a grid. Both act by factors, not by differences: try 0.01, 0.1 and 1, not 0.1, 0.2
# and 0.3. Each run starts from the same weights and uses the same seed, so that nothing but the pair makes
# the difference.


# %% question="search_hyperparameters"
def search_hyperparameters(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    """Train with every pair of a learning rate and a penalty, and choose the best on the validation set.

    Args:
        loss: "svm" or "softmax".
        W: weights that every run starts from, shape (D, C); not modified.
        X_train, y_train: what to train on, shapes (N, D) and (N,).
        X_val, y_val: what to choose by, shapes (M, D) and (M,).
        learning_rates: a list of numbers.
        regs: a list of numbers.
        num_iters, batch_size, seed: passed to train_linear_classifier, the same for every run.

    Returns:
        results: a dict that maps each pair (learning_rate, reg) to the pair (training accuracy, validation
            accuracy), shares from 0 to 1, measured on all of X_train and of X_val after training.
        best: the pair (learning_rate, reg) with the highest validation accuracy. Where several have it, the
            one that is tried first: learning rates in the order given, and for each all regs in the order
            given.
        best_W: the weights that the best run ended with, shape (D, C).
    """
    ### BEGIN SOLUTION
    results, best, best_W = {}, None, None
    for learning_rate in learning_rates:
        for reg in regs:
            trained, _ = train_linear_classifier(
                loss, W, X_train, y_train, learning_rate, reg, num_iters, batch_size, seed
            )
            train_accuracy = float(np.mean(predict(trained, X_train) == y_train))
            val_accuracy = float(np.mean(predict(trained, X_val) == y_val))
            results[learning_rate, reg] = train_accuracy, val_accuracy
            if best is None or val_accuracy > results[best][1]:
                best, best_W = (learning_rate, reg), trained
    return results, best, best_W
    ### END SOLUTION


# %%
check("search_hyperparameters")

# %% [markdown]
# **The landscape of the search**, one field for each pair; the chosen one is in brackets. A look at the
# whole picture tells more than its single best field: good pairs lie side by side, and differences of a few
# tenths are chance (one of 300 validation pictures is 0.3 %). Where the best lies on the rim, the grid
# should be moved. The digits need hardly any penalty; photographs, with 3,073 weights for each class, need
# more.

# %% tags=["show"]
grids = {
    "softmax": [0.001, 0.003, 0.01, 0.03, 0.1] if photographs else [0.1, 0.3, 1.0, 3.0, 10.0],
    "svm": [0.0001, 0.0003, 0.001, 0.003, 0.01] if photographs else [0.01, 0.03, 0.1, 0.3, 1.0],
}
regs = [0.0, 1e-4, 1e-3, 1e-2, 1e-1] if photographs else [0.0, 1e-5, 1e-4, 1e-3, 1e-2]
steps = 500 if photographs else 2000
found = {}
fig, panels = plt.subplots(1, 2, figsize=(11, 4.3), layout="constrained")
for axes, (loss, rates) in zip(panels, grids.items(), strict=True):
    found[loss] = search_hyperparameters(
        loss, START, X_train, y_train, X_val, y_val, rates, regs, num_iters=steps, batch_size=100
    )
    results, best, _ = found[loss]
    table = 100 * np.array([[results[rate, reg][1] for reg in regs] for rate in rates])
    low = max(table.min(), table.max() - 15)  # so that a run that went wrong does not use up all colours
    axes.imshow(table, cmap="viridis", vmin=low, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        chosen = (rates[row], regs[column]) == best
        ink = "white" if value < (low + table.max()) / 2 else "black"
        text = f"[{value:.1f}]" if chosen else f"{value:.1f}"
        axes.text(
            column, row, text, ha="center", va="center", color=ink, weight="bold" if chosen else "normal"
        )
    axes.set_xticks(range(len(regs)), [f"{reg:g}".replace("e-0", "e-") for reg in regs])
    axes.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.set(xlabel="reg", ylabel="learning rate", title=f"{loss}: validation accuracy in per cent")
plt.show()

# %% [markdown]
# **The templates.** Each column of $W$, without its bias, is a picture again: blue speaks for the class,
# red against it (photographs: the colours themselves). Compare with the mean pictures above. A template
# does not show what the class looks like but what tells it from the others: the 0 asks for an empty middle,
# the 9 for an empty spot at the lower left, where the 8 has its ink.

# %% tags=["show"]
fig, grid = plt.subplots(len(found), C, figsize=(11, 2.9), layout="constrained")
for row, (loss, (_, _, best_W)) in zip(grid, found.items(), strict=True):
    for j, axes in enumerate(row):
        show(axes, as_picture(best_W[:, j]), data.classes[j])
    row[0].set_ylabel(loss)
plt.show()

# %% [markdown]
# And now, once, the test pictures.

# %% tags=["show"]
for loss, (results, best, best_W) in found.items():
    accuracy = np.mean(predict(best_W, X_test) == y_test)
    margin = np.sqrt(accuracy * (1 - accuracy) / len(y_test))
    print(
        f"{loss:<8} learning rate {best[0]:g}, reg {best[1]:g}: training {results[best][0]:.1%}, "
        f"validation {results[best][1]:.1%}, test {accuracy:.1%} (give or take {margin:.1%})"
    )

# %% [markdown]
# **Why it said so.** A score is a sum over pixels, so it can be taken apart. Here are four test pictures
# that the softmax classifier gets wrong, and beside each what every pixel had to say: blue for the right
# class, red for the one that was answered.

# %% tags=["show"]
_, _, best_W = found["softmax"]
answers = predict(best_W, X_test)
wrong = np.flatnonzero(answers != y_test)[:4]
fig, grid = plt.subplots(1, 2 * len(wrong), figsize=(11, 2.0), layout="constrained")
for i, (left, right) in zip(wrong, grid.reshape(-1, 2), strict=True):
    true, answer = y_test[i], answers[i]
    image = data.x_test[i]
    show(left, image.transpose(1, 2, 0) if image.ndim == 3 else image, data.classes[true], signed=False)
    evidence = as_picture(X_test[i] * (best_W[:, true] - best_W[:, answer]))
    evidence = evidence.sum(axis=2) if evidence.ndim == 3 else evidence
    show(right, evidence, f"{data.classes[true]} or {data.classes[answer]}?")
plt.show()

# %% [markdown]
# **What to take along.** A loss, its gradient, mini-batches, a penalty and an honest search: with these,
# two matrix products per step learn a classifier that is smaller and far quicker than the nearest
# neighbours. On photographs it is also better: with all 50,000 to learn from, this code reaches 40 % (SVM)
# to 41 % (softmax), the neighbours 34 %. On the digits, where neighbours are so close, it is a little worse.
#
# What it lacks you have seen in the plane: **one template per class, and straight edges.** A class that
# comes in several looks has to make do with their mean; the horse of CIFAR-10 has two heads, one facing
# left and one facing right. The next assignment puts something between the pixels and the scores: a layer
# that learns features of its own, and with it edges that bend.
