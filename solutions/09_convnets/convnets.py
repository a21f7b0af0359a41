# %% [markdown]
# # 9. Convolutional networks
#
# Assignment 8 left two things open. Its networks treat an image as a bag of numbers: shuffle the pixels of
# every image in the same way and they learn just as well. A fully connected layer has to learn what a stroke
# looks like separately for each place where a stroke can be, and it pays for that in parameters: on a
# $32\times32$ colour image, 100 hidden units need $3072\cdot100 \approx 307{,}000$ weights. And the deeper a
# network was, the narrower was the range of first weights from which it learned anything at all.
#
# A convolutional layer uses two facts about images. *Neighbours belong together*, so a unit looks at a small
# window only. *What is worth detecting in one place is worth detecting everywhere*, so all windows share one
# set of weights. A hundred $5\times5$ filters on the same image need $75\cdot100 = 7{,}500$ weights. For the
# first weights there are two answers, and you will write both: the scale of assignment 6, now for filters as
# well, and layers that make the scale matter less.
#
# In this assignment you write each layer of such a network, forward and backward, in plain NumPy:
# convolution, pooling, four kinds of normalisation, an initialisation that keeps deep networks alive, and a
# convolution that is fast. From these you build two networks and train them.
#
# Two conventions hold throughout:
#
# * Images have the shape $(N, C, H, W)$: number, channels, height, width.
# * A forward pass returns `(out, cache)`. The cache holds whatever *your* backward pass wants to find again;
#   nobody else looks into it. The backward pass takes `(dout, cache)`, where `dout` is the upstream gradient
#   $\partial L/\partial\,\text{out}$, and returns the gradients in the order of the inputs.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## What you have already
#
# The layers below are the ones from the earlier assignments: a fully connected ("affine") layer, ReLU, and
# the softmax loss. You will need them for the two networks at the end.


# %%
def affine_forward(x, w, b):
    """Fully connected layer. x (N, ...), flattened to (N, D); w (D, M); b (M,). Returns out (N, M), cache."""
    return x.reshape(len(x), -1) @ w + b, (x, w)


def affine_backward(dout, cache):
    """dout: (N, M). Returns dx in the shape of x, dw (D, M), db (M,)."""
    x, w = cache
    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, dout.sum(axis=0)


def relu_forward(x):
    """max(x, 0), any shape. Returns out, cache."""
    return np.maximum(x, 0), x


def relu_backward(dout, cache):
    """The gradient passes where the input was positive."""
    return dout * (cache > 0)


def softmax_loss(x, y):
    """Mean cross-entropy. x (N, K): scores; y (N,): labels. Returns the loss, a float, and dx (N, K)."""
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dx = np.exp(log_p)
    dx[np.arange(len(y)), y] -= 1
    return float(-log_p[np.arange(len(y)), y].mean()), dx / len(y)


# %% [markdown]
# ## The images
#
# The course carries 1,797 handwritten digits of $8\times8$ pixels (the UCI *optical recognition of
# handwritten digits* set as packaged by scikit-learn): small enough that your loops, slow as they are, can be
# trained. If your data folder holds CIFAR-10, the cell below takes 4,000 of its colour images instead, and
# the runs at the end of the notebook take some minutes.

# %% tags=["show"]
from autograder.datasets import DatasetMissing

try:
    dataset, EPOCHS = load_dataset("cifar10", num_train=4500, num_test=1000), 8
    num_val = 500
except DatasetMissing:
    dataset, EPOCHS = load_dataset("digits"), 15
    num_val = 250

class_names, K = dataset.classes, len(dataset.classes)
x, x_test = dataset.x_train.astype(float), dataset.x_test.astype(float)
if x.ndim == 3:  # grey images come without a channel axis
    x, x_test = x[:, None], x_test[:, None]
mean_image = x[num_val:].mean(axis=0)
X_val, y_val = x[:num_val] - mean_image, dataset.y_train[:num_val]
X_train, y_train = x[num_val:] - mean_image, dataset.y_train[num_val:]
X_test, y_test = x_test - mean_image, dataset.y_test


def as_picture(image):
    """(C, H, W), centred -> what imshow takes, 0 to 1."""
    pixels = np.clip(image + mean_image, 0, 1).transpose(1, 2, 0)
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


print(f"{dataset.name}: {len(X_train)} images to train on, {num_val} for validation, {len(X_test)} to test")
fig, axes = plt.subplots(2, 10, figsize=(12, 2.8))
for label in range(10):
    for ax, i in zip(axes[:, label], np.flatnonzero(y_train == label)[:2], strict=True):
        ax.imshow(as_picture(X_train[i]), cmap="gray")
        ax.set_xticks([])
        ax.set_yticks([])
    axes[0, label].set_title(class_names[label], fontsize=10)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 9.1 Convolution
#
# A filter $w_f$ of shape $(C, HH, WW)$ is laid on a window of the image, multiplied with it element by
# element, and the products are summed: one number. Moving the window by `stride` pixels at a time gives a
# whole *feature map*, large where the image looks like the filter. With $\tilde x$ the image after padding
# with $p$ zeros on each of the four sides, and stride $s$,
#
# $$
# \text{out}_{n,f,i,j} \;=\; b_f + \sum_{c=0}^{C-1}\sum_{k=0}^{HH-1}\sum_{l=0}^{WW-1}
#    w_{f,c,k,l}\;\tilde x_{n,\,c,\,is+k,\,js+l}
# $$
#
# $$
# H' = 1 + \left\lfloor\frac{H + 2p - HH}{s}\right\rfloor
# \qquad
# W' = 1 + \left\lfloor\frac{W + 2p - WW}{s}\right\rfloor
# $$
#
# The filter is *not* flipped (mathematicians call this a cross-correlation; every deep-learning library calls
# it convolution). Rows and columns at the right and lower edge that do not fill a whole window are left out:
# that is what the floor brackets say.
#
# Write it with plain loops first. Which quantities do the loops run over? Over *output* positions; the input
# position follows from the stride.


# %% question="conv_forward"
def conv_forward(x, w, b, conv_param):
    """Convolve a batch of images with F filters.

    x           (N, C, H, W)    images, not to be modified
    w           (F, C, HH, WW)  filters; neither images nor filters need to be square
    b           (F,)            one bias per filter
    conv_param  {"stride": s, "pad": p}: step of the window, and how many zeros go on each of the four sides

    Returns
    out         (N, F, H', W')  with H' = 1 + (H + 2p - HH) // s and W' = 1 + (W + 2p - WW) // s
    cache       whatever conv_backward needs
    """
    ### BEGIN SOLUTION
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, _, H, W = x.shape
    F, _, HH, WW = w.shape
    H_out = 1 + (H + 2 * pad - HH) // stride
    W_out = 1 + (W + 2 * pad - WW) // stride

    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((N, F, H_out, W_out), dtype=np.result_type(x, w))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    top, left = i * stride, j * stride
                    window = padded[n, :, top : top + HH, left : left + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out, (x, w, b, conv_param)
    ### END SOLUTION


# %%
check("conv_forward")

# %% [markdown]
# **One number of a feature map.** On the left the padded image with one window marked; then the window, the
# filter, and their product; on the right the feature map, in which the sum of the product is one pixel. Here
# the filter is one that answers to vertical edges: dark on its left, bright on its right.

# %% tags=["show"]
picture = (X_train[0] + mean_image).mean(axis=0)
vertical_edge = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
feature_map = conv_forward(
    picture[None, None], vertical_edge[None, None], np.zeros(1), {"stride": 1, "pad": 1}
)[0][0, 0]
row, column = np.unravel_index(feature_map.argmax(), feature_map.shape)
padded_picture = np.pad(picture, 1)
window = padded_picture[row : row + 3, column : column + 3]


def show_numbers(ax, values, title, scale):
    """A small matrix as a picture, with its numbers written in."""
    ax.imshow(values, cmap="RdBu", vmin=-scale, vmax=scale)
    for (i, j), value in np.ndenumerate(values):
        ink = "white" if abs(value) > 0.6 * scale else "black"
        ax.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=9, color=ink)
    ax.set_title(title)


fig, axes = plt.subplots(1, 5, figsize=(12, 2.9), width_ratios=[1.25, 1, 1, 1, 1.1])
axes[0].imshow(padded_picture, cmap="gray")
axes[0].add_patch(Rectangle((column - 0.5, row - 0.5), 3, 3, fill=False, edgecolor="tab:orange", lw=2.5))
axes[0].set_title("padded image")
show_numbers(axes[1], window, "window", scale=2)
show_numbers(axes[2], vertical_edge, "filter", scale=2)
show_numbers(axes[3], window * vertical_edge + 0.0, f"product, sum {feature_map[row, column]:.2f}", scale=2)
limit = np.abs(feature_map).max()
axes[4].imshow(feature_map, cmap="RdBu", vmin=-limit, vmax=limit)
axes[4].add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="tab:orange", lw=2.5))
axes[4].set_title("feature map")
for ax in axes:
    ax.set_xticks([])
    ax.set_yticks([])
fig.tight_layout()
plt.show()

# %% [markdown]
# **Four filters by hand, three images.** A network learns its filters, but what it learns often resembles
# these. Blue is positive, red negative. Note that the edge filters answer with opposite signs on the two
# sides of a stroke, and that the blur needs no negative weights.

# %% tags=["show"]
hand_made = {
    "vertical edges": vertical_edge,
    "horizontal edges": vertical_edge.T,
    "blur": np.full((3, 3), 1 / 9),
    "spots (Laplacian)": np.array([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]),
}
three = (X_train[[0, 5, 9]] + mean_image).mean(axis=1, keepdims=True)
filters = np.stack(list(hand_made.values()))[:, None]
maps, _ = conv_forward(three, filters, np.zeros(4), {"stride": 1, "pad": 1})

fig, axes = plt.subplots(3, 5, figsize=(9.5, 5.8))
for row_axes, image, responses in zip(axes, three, maps, strict=True):
    row_axes[0].imshow(image[0], cmap="gray")
    for ax, response in zip(row_axes[1:], responses, strict=True):
        limit = np.abs(response).max()
        ax.imshow(response, cmap="RdBu", vmin=-limit, vmax=limit)
for ax, title in zip(axes[0], ["image", *hand_made], strict=True):
    ax.set_title(title, fontsize=10)
for ax in axes.flat:
    ax.set_xticks([])
    ax.set_yticks([])
fig.tight_layout()
plt.show()

# %% [markdown]
# ### Backward
#
# To learn the filters we need $\partial L/\partial w$, and to learn the layers before this one
# $\partial L/\partial x$. Look at a single output number: it is $b_f$ plus a sum of products
# $w\cdot\tilde x$. In such a sum the gradient of one factor is the other factor, times the upstream gradient.
# Because every weight and most pixels take part in *many* output numbers, their gradients are sums over all
# of these:
#
# $$
# \frac{\partial L}{\partial b_f} = \sum_{n,i,j}\text{dout}_{n,f,i,j}
# \qquad
# \frac{\partial L}{\partial w_{f,c,k,l}} = \sum_{n,i,j} \text{dout}_{n,f,i,j}\;\tilde x_{n,c,\,is+k,\,js+l}
# $$
#
# $$
# \frac{\partial L}{\partial \tilde x_{n,c,\,is+k,\,js+l}} \mathrel{+}= \text{dout}_{n,f,i,j}\; w_{f,c,k,l}
# \quad\text{for all } f, i, j, k, l
# $$
#
# So the backward pass walks through the same windows as the forward pass, and where the forward pass *read* a
# window, the backward pass *adds into* it. At the end the padding is cut off: nobody asks for the gradient of
# a zero.


# %% question="conv_backward"
def conv_backward(dout, cache):
    """Gradients of a convolution.

    dout   (N, F, H', W')  upstream gradient
    cache  what conv_forward returned

    Returns
    dx     (N, C, H, W)
    dw     (F, C, HH, WW)
    db     (F,)
    """
    ### BEGIN SOLUTION
    x, w, _, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, _, H, W = x.shape
    F, _, HH, WW = w.shape

    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dpadded = np.zeros_like(padded, dtype=dout.dtype)
    dw = np.zeros_like(w)
    for n in range(N):
        for f in range(F):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    rows = slice(i * stride, i * stride + HH)
                    columns = slice(j * stride, j * stride + WW)
                    dw[f] += dout[n, f, i, j] * padded[n, :, rows, columns]
                    dpadded[n, :, rows, columns] += dout[n, f, i, j] * w[f]
    dx = dpadded[:, :, pad : pad + H, pad : pad + W]
    return dx, dw, dout.sum(axis=(0, 2, 3))
    ### END SOLUTION


# %%
check("conv_backward")

# %% [markdown]
# **What the backward pass does to one image.** With an upstream gradient of 1 at a single output position,
# $\partial L/\partial x$ is the filter itself, stamped on the window that this output has seen. With an
# upstream gradient of 1 everywhere and a filter of ones, $\partial L/\partial x$ counts in how many windows
# each pixel lies: fewer at the border, and uneven when the stride does not divide the size of the filter.

# %% tags=["show"]
stamp = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
image = np.zeros((1, 1, 8, 8))


def input_gradient(dout, w, stride, pad):
    """dL/dx of one 8x8 image, for a given upstream gradient."""
    _, cache = conv_forward(image, w, np.zeros(1), {"stride": stride, "pad": pad})
    return conv_backward(dout, cache)[0][0, 0]


one_position = np.zeros((1, 1, 6, 6))
one_position[0, 0, 1, 3] = 1
gradients = {
    "one output, filter 1 … 9": input_gradient(one_position, stamp, 1, 0),
    "all outputs, 3x3, stride 1": input_gradient(np.ones((1, 1, 6, 6)), np.ones_like(stamp), 1, 0),
    "all outputs, 3x3, stride 1, pad 1": input_gradient(np.ones((1, 1, 8, 8)), np.ones_like(stamp), 1, 1),
    "all outputs, 3x3, stride 2": input_gradient(np.ones((1, 1, 3, 3)), np.ones_like(stamp), 2, 0),
}
fig, axes = plt.subplots(1, 4, figsize=(12.5, 3.3))
for ax, (title, gradient) in zip(axes, gradients.items(), strict=True):
    ax.imshow(gradient, cmap="Blues", vmin=0, vmax=12)
    for (i, j), value in np.ndenumerate(gradient):
        ax.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=8, color="black" if value else "0.7")
    ax.set_title(title, fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])
fig.tight_layout()
plt.show()

# %% [markdown]
# In the last picture the eighth row and the eighth column are zero: a $3\times3$ window with stride 2 never
# reaches them.
#
# ## 9.2 Max pooling
#
# A feature map says *where* a feature is, more exactly than a classifier needs to know. Max pooling keeps the
# strongest answer of each window and forgets the rest: the map gets smaller, later layers get cheaper and see
# more of the image, and a shift by one pixel changes little. It has no parameters and works on each channel
# by itself:
#
# $$
# \text{out}_{n,c,i,j} = \max_{0\le k<PH,\;0\le l<PW} x_{n,\,c,\,is+k,\,js+l},
# \qquad H' = 1 + \left\lfloor\frac{H-PH}{s}\right\rfloor,
# \quad W' = 1 + \left\lfloor\frac{W-PW}{s}\right\rfloor
# $$
#
# The stride need not equal the size of the window. When it is smaller, windows overlap.


# %% question="max_pool_forward"
def max_pool_forward(x, pool_param):
    """Max pooling.

    x           (N, C, H, W), not to be modified
    pool_param  {"pool_height": PH, "pool_width": PW, "stride": s}

    Returns
    out         (N, C, H', W')  with H' = 1 + (H - PH) // s and W' = 1 + (W - PW) // s
    cache       whatever max_pool_backward needs
    """
    ### BEGIN SOLUTION
    height, width, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    out = np.zeros((N, C, 1 + (H - height) // stride, 1 + (W - width) // stride), dtype=x.dtype)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            window = x[:, :, i * stride : i * stride + height, j * stride : j * stride + width]
            out[:, :, i, j] = window.max(axis=(2, 3))
    return out, (x, pool_param)
    ### END SOLUTION


# %%
check("max_pool_forward")

# %% [markdown]
# ### Backward
#
# A small change of an input pixel changes the output only if that pixel is the largest of its window. So each
# upstream gradient goes to the winner of its window, whole, and the others get nothing. A pixel that wins in
# several overlapping windows gets the *sum*. (Where two pixels tie, the maximum has a kink and no derivative;
# give the gradient to either of them.)


# %% question="max_pool_backward"
def max_pool_backward(dout, cache):
    """Gradient of max pooling.

    dout   (N, C, H', W')  upstream gradient
    cache  what max_pool_forward returned

    Returns
    dx     (N, C, H, W)
    """
    ### BEGIN SOLUTION
    x, pool_param = cache
    height, width, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C = x.shape[:2]
    dx = np.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows = slice(i * stride, i * stride + height)
            columns = slice(j * stride, j * stride + width)
            winner = x[:, :, rows, columns].reshape(N, C, -1).argmax(axis=2)
            is_winner = np.arange(height * width) == winner[:, :, None]
            routed = is_winner * dout[:, :, i, j][:, :, None]
            dx[:, :, rows, columns] += routed.reshape(N, C, height, width)
    return dx
    ### END SOLUTION


# %%
check("max_pool_backward")

# %% [markdown]
# **Pooling a feature map.** From left to right: the edge map from above after ReLU; the same after $2\times2$
# pooling with stride 2; where an upstream gradient of 1 at every output lands, back through pool and ReLU. In
# the last picture the $3\times3$ windows overlap (stride 1), and the strongest pixels collect the gradient of
# several windows.

# %% tags=["show"]
edges = np.maximum(feature_map, 0)[None, None]
pooled, pool_cache = max_pool_forward(edges, {"pool_height": 2, "pool_width": 2, "stride": 2})
routed = relu_backward(max_pool_backward(np.ones_like(pooled), pool_cache), edges)
overlapping, overlap_cache = max_pool_forward(edges, {"pool_height": 3, "pool_width": 3, "stride": 1})
collected = relu_backward(max_pool_backward(np.ones_like(overlapping), overlap_cache), edges)

fig, axes = plt.subplots(1, 4, figsize=(12.5, 3.4))
panels = [
    (edges, "feature map", "Blues"),
    (pooled, "max pooling 2x2, stride 2", "Blues"),
    (routed, "gradient: 2x2, stride 2", "Oranges"),
    (collected, "gradient: 3x3, stride 1", "Oranges"),
]
for ax, (values, title, colours) in zip(axes, panels, strict=True):
    ax.imshow(values[0, 0], cmap=colours)
    if colours == "Oranges" and values[0, 0].size <= 64:
        for (i, j), value in np.ndenumerate(values[0, 0]):
            if value:
                ink = "white" if value > 0.6 * values.max() else "black"
                ax.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=9, color=ink)
    ax.set_title(title, fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 9.3 Batch normalisation
#
# During training each layer learns from inputs that the layers before it keep changing. Features drift to
# different scales, some saturate, and one learning rate no longer suits them all. Batch normalisation (Ioffe
# and Szegedy, 2015) gives every feature the mean 0 and the variance 1 over the mini-batch, then lets the
# network choose a scale $\gamma$ and a shift $\beta$ of its own. For feature $d$ of a batch of $N$ rows:
#
# $$
# \mu_d = \frac1N\sum_n x_{nd},\qquad
# \sigma_d^2 = \frac1N\sum_n (x_{nd}-\mu_d)^2,\qquad
# \hat x_{nd} = \frac{x_{nd}-\mu_d}{\sqrt{\sigma_d^2+\varepsilon}},\qquad
# \text{out}_{nd} = \gamma_d\,\hat x_{nd} + \beta_d
# $$
#
# The variance is the biased one (divide by $N$), and $\varepsilon$ stands under the root.
#
# A test image must not be judged by the company it comes in. So training also keeps running averages, and
# test mode uses these in place of $\mu$ and $\sigma^2$:
#
# $$
# \text{running} \leftarrow m\cdot\text{running} + (1-m)\cdot\text{batch}
# $$
#
# Both are kept in `bn_param`, the dictionary that the caller passes in at each step: write them back into it.


# %% question="batchnorm_forward"
def batchnorm_forward(x, gamma, beta, bn_param):
    """Batch normalisation of features.

    x           (N, D), not to be modified
    gamma       (D,)    scale
    beta        (D,)    shift
    bn_param    "mode":         "train" or "test", required
                "eps":          default 1e-5
                "momentum":     default 0.9, the share of the old value in a running average
                "running_mean": (D,), zeros where absent
                "running_var":  (D,), zeros where absent

    In train mode the statistics are those of the batch (biased variance), and the running averages of both
    are updated in bn_param: running = momentum * running + (1 - momentum) * batch.
    In test mode the running averages are used, and bn_param stays as it is.

    Returns
    out         (N, D)
    cache       whatever batchnorm_backward needs (nothing in test mode)
    """
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    running_mean = bn_param.get("running_mean", np.zeros(x.shape[1], dtype=x.dtype))
    running_var = bn_param.get("running_var", np.zeros(x.shape[1], dtype=x.dtype))
    ### BEGIN SOLUTION
    if mode == "test":
        return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta, None
    if mode != "train":
        raise ValueError(f'bn_param["mode"] is {mode!r}; it must be "train" or "test".')

    mean = x.mean(axis=0)
    var = x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mean
    bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
    return gamma * x_hat + beta, (x_hat, inv_std, gamma)
    ### END SOLUTION


# %%
check("batchnorm_forward")

# %% [markdown]
# **Before and after.** Four features with means and spreads of their own, 2,000 rows. After batch
# normalisation they share one scale. On the right the running mean of each feature on its way to the true
# mean (dashed), with momentum 0.9: after 30 batches the zeros it started from are forgotten.

# %% tags=["show"]
rng = np.random.default_rng(0)
true_mean, true_std = np.array([-6.0, 0.0, 2.0, 5.0]), np.array([0.7, 3.0, 0.3, 1.5])
features = rng.normal(true_mean, true_std, size=(2000, 4))
normalised, _ = batchnorm_forward(features, np.ones(4), np.zeros(4), {"mode": "train"})

bn_param = {"mode": "train"}
running = []
for _ in range(40):
    batch = rng.normal(true_mean, true_std, size=(50, 4))
    batchnorm_forward(batch, np.ones(4), np.zeros(4), bn_param)
    running.append(bn_param["running_mean"])

fig, axes = plt.subplots(1, 3, figsize=(12.5, 3.2))
for d in range(4):
    axes[0].hist(features[:, d], bins=60, range=(-10, 10), alpha=0.6, color=f"C{d}")
    axes[1].hist(normalised[:, d], bins=60, range=(-10, 10), alpha=0.4, color=f"C{d}")
    axes[2].plot(np.array(running)[:, d], color=f"C{d}")
    axes[2].axhline(true_mean[d], color=f"C{d}", ls="--", lw=0.8)
axes[0].set(title="four features before", xlabel="value", ylabel="rows")
axes[1].set(title="after batch normalisation", xlabel="value")
axes[2].set(title="running mean", xlabel="batches seen")
fig.tight_layout()
plt.show()

# %% [markdown]
# ### Backward
#
# $\gamma$ and $\beta$ are easy: $\partial L/\partial\beta_d=\sum_n\text{dout}_{nd}$ and
# $\partial L/\partial\gamma_d=\sum_n\text{dout}_{nd}\,\hat x_{nd}$.
#
# $x$ is not, because $x_{nd}$ reaches the output on three ways: directly, through $\mu_d$ and through
# $\sigma_d^2$; the last two touch *every* row of the batch. You can draw the computational graph and walk it
# back step by step, or collect the terms on paper. With $g_{nd} = \text{dout}_{nd}\,\gamma_d$ the three ways
# add up to
#
# $$
# \frac{\partial L}{\partial x_{nd}} = \frac{1}{\sqrt{\sigma_d^2+\varepsilon}}
# \left( g_{nd} \;-\; \frac1N\sum_m g_{md} \;-\; \hat x_{nd}\,\frac1N\sum_m g_{md}\,\hat x_{md} \right)
# $$
#
# The second term is the way through the mean, the third the way through the variance.


# %% question="batchnorm_backward"
def batchnorm_backward(dout, cache):
    """Gradients of batch normalisation in train mode.

    dout    (N, D)  upstream gradient
    cache   what batchnorm_forward returned in train mode

    Returns
    dx      (N, D)
    dgamma  (D,)
    dbeta   (D,)
    """
    ### BEGIN SOLUTION
    x_hat, inv_std, gamma = cache
    dx_hat = dout * gamma
    dx = inv_std * (dx_hat - dx_hat.mean(axis=0) - x_hat * (dx_hat * x_hat).mean(axis=0))
    return dx, (dout * x_hat).sum(axis=0), dout.sum(axis=0)
    ### END SOLUTION


# %%
check("batchnorm_backward")

# %% [markdown]
# **What the two extra terms do.** Shifting or stretching a whole column of $x$ does not change the output, so
# the gradient must not ask for it. Left: an upstream gradient that has a mean and a trend with $\hat x$.
# Right: $\partial L/\partial x$ has lost both. If you forget one of the two ways, the dashed line on the
# right is not flat at zero.

# %% tags=["show"]
rng = np.random.default_rng(1)
column = rng.normal(3, 2, size=(200, 1))
normal, cache = batchnorm_forward(column, np.ones(1), np.zeros(1), {"mode": "train"})
upstream = 0.8 + 0.5 * normal + 0.3 * rng.normal(size=normal.shape)
dx, _, _ = batchnorm_backward(upstream, cache)

fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
for ax, values, title in zip(axes, (upstream, dx), ("upstream gradient", "gradient of x"), strict=True):
    ax.scatter(normal, values, s=8, alpha=0.6)
    slope, intercept = np.polyfit(normal[:, 0], values[:, 0], 1)
    ends = np.array([normal.min(), normal.max()])
    ax.plot(ends, intercept + slope * ends, "--", color="tab:orange", lw=2)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set(title=title, xlabel=r"normalised value $\hat x$")
fig.tight_layout()
plt.show()

# %% [markdown]
# ### In a convolutional network
#
# In a feature map all positions share one filter, so they should share one normalisation: *spatial* batch
# normalisation takes the mean and the variance of each channel over the batch **and** over all positions,
# $N\cdot H\cdot W$ values, and has one $\gamma_c$ and one $\beta_c$ per channel. It is batch normalisation of
# a matrix with $C$ columns: move the channels to the last axis, make $(N\,H\,W, C)$ out of the rest, and put
# everything back in its place afterwards.


# %% question="spatial_batchnorm_forward"
def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    """Batch normalisation of feature maps, per channel.

    x           (N, C, H, W), not to be modified
    gamma       (C,)    scale
    beta        (C,)    shift
    bn_param    as in batchnorm_forward; running_mean and running_var have the shape (C,)

    Returns
    out         (N, C, H, W)
    cache       whatever spatial_batchnorm_backward needs (nothing in test mode)
    """
    ### BEGIN SOLUTION
    N, C, H, W = x.shape
    rows = x.transpose(0, 2, 3, 1).reshape(N * H * W, C)
    out, cache = batchnorm_forward(rows, gamma, beta, bn_param)
    return out.reshape(N, H, W, C).transpose(0, 3, 1, 2), cache
    ### END SOLUTION


# %%
check("spatial_batchnorm_forward")


# %% question="spatial_batchnorm_backward"
def spatial_batchnorm_backward(dout, cache):
    """Gradients of spatial batch normalisation in train mode.

    dout    (N, C, H, W)  upstream gradient
    cache   what spatial_batchnorm_forward returned in train mode

    Returns
    dx      (N, C, H, W)
    dgamma  (C,)
    dbeta   (C,)
    """
    ### BEGIN SOLUTION
    N, C, H, W = dout.shape
    rows = dout.transpose(0, 2, 3, 1).reshape(N * H * W, C)
    dx, dgamma, dbeta = batchnorm_backward(rows, cache)
    return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dgamma, dbeta
    ### END SOLUTION


# %%
check("spatial_batchnorm_backward")

# %% [markdown]
# ## 9.4 Normalisation without a batch
#
# Batch statistics get noisy when batches are small, and they make the output for one image depend on the
# others. **Layer normalisation** (Ba, Kiros and Hinton, 2016) uses the same formula with the other axis: mean
# and variance over the $D$ features of *one row*. There are no running averages, and training and testing are
# the same:
#
# $$
# \mu_n = \frac1D\sum_d x_{nd},\qquad
# \sigma_n^2 = \frac1D\sum_d (x_{nd}-\mu_n)^2,\qquad
# \text{out}_{nd} = \gamma_d\,\frac{x_{nd}-\mu_n}{\sqrt{\sigma_n^2+\varepsilon}} + \beta_d
# $$
#
# Careful in the backward pass: the statistics now run over the features, but $\gamma$ and $\beta$ still
# belong to features and are shared by the rows. Two different axes, where batch normalisation had one.


# %% question="layernorm_forward"
def layernorm_forward(x, gamma, beta, ln_param):
    """Layer normalisation.

    x         (N, D), not to be modified
    gamma     (D,)    scale
    beta      (D,)    shift
    ln_param  {"eps": ...}, default 1e-5

    Returns
    out       (N, D)
    cache     whatever layernorm_backward needs
    """
    eps = ln_param.get("eps", 1e-5)
    ### BEGIN SOLUTION
    mean = x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=1, keepdims=True) + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, (x_hat, inv_std, gamma)
    ### END SOLUTION


# %%
check("layernorm_forward")


# %% question="layernorm_backward"
def layernorm_backward(dout, cache):
    """Gradients of layer normalisation.

    dout    (N, D)  upstream gradient
    cache   what layernorm_forward returned

    Returns
    dx      (N, D)
    dgamma  (D,)
    dbeta   (D,)
    """
    ### BEGIN SOLUTION
    x_hat, inv_std, gamma = cache
    dx_hat = dout * gamma
    mean_g = dx_hat.mean(axis=1, keepdims=True)
    mean_gx = (dx_hat * x_hat).mean(axis=1, keepdims=True)
    dx = inv_std * (dx_hat - mean_g - x_hat * mean_gx)
    return dx, (dout * x_hat).sum(axis=0), dout.sum(axis=0)
    ### END SOLUTION


# %%
check("layernorm_backward")

# %% [markdown]
# **Group normalisation** (Wu and He, 2018) does the same for feature maps. Taking all channels of an image
# together is too coarse, since an edge map and a blob map have little in common; so the $C$ channels are
# split into $G$ groups of $C/G$ neighbours, and mean and variance are taken over one group of one image: over
# $\frac{C}{G}\cdot H\cdot W$ values. $\gamma$ and $\beta$ belong to *channels*, not to groups; they have the
# shape $(1, C, 1, 1)$, ready to be broadcast.
#
# $$
# \hat x_{n,c,h,w} = \frac{x_{n,c,h,w}-\mu_{n,g(c)}}{\sqrt{\sigma^2_{n,g(c)}+\varepsilon}},
# \qquad g(c) = \left\lfloor \frac{c}{C/G}\right\rfloor
# $$
#
# One `reshape` to $(N, G, \frac{C}{G}\,H\,W)$ brings the values that belong together into one axis.


# %% question="groupnorm_forward"
def groupnorm_forward(x, gamma, beta, G, gn_param):
    """Group normalisation.

    x         (N, C, H, W), not to be modified
    gamma     (1, C, 1, 1)  scale
    beta      (1, C, 1, 1)  shift
    G         number of groups, a divisor of C; group 0 has channels 0 ... C/G - 1, and so on
    gn_param  {"eps": ...}, default 1e-5

    Returns
    out       (N, C, H, W)
    cache     whatever groupnorm_backward needs
    """
    eps = gn_param.get("eps", 1e-5)
    ### BEGIN SOLUTION
    groups = x.reshape(x.shape[0], G, -1)
    mean = groups.mean(axis=2, keepdims=True)
    inv_std = 1 / np.sqrt(groups.var(axis=2, keepdims=True) + eps)
    x_hat = ((groups - mean) * inv_std).reshape(x.shape)
    return gamma * x_hat + beta, (x_hat, inv_std, gamma)
    ### END SOLUTION


# %%
check("groupnorm_forward")


# %% question="groupnorm_backward"
def groupnorm_backward(dout, cache):
    """Gradients of group normalisation.

    dout    (N, C, H, W)  upstream gradient
    cache   what groupnorm_forward returned

    Returns
    dx      (N, C, H, W)
    dgamma  (1, C, 1, 1)
    dbeta   (1, C, 1, 1)
    """
    ### BEGIN SOLUTION
    x_hat, inv_std, gamma = cache
    N, G, _ = inv_std.shape
    g = (dout * gamma).reshape(N, G, -1)
    normal = x_hat.reshape(N, G, -1)
    mean_g = g.mean(axis=2, keepdims=True)
    mean_gx = (g * normal).mean(axis=2, keepdims=True)
    dx = (inv_std * (g - mean_g - normal * mean_gx)).reshape(dout.shape)
    dgamma = (dout * x_hat).sum(axis=(0, 2, 3), keepdims=True)
    dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)
    return dx, dgamma, dbeta
    ### END SOLUTION


# %%
check("groupnorm_backward")

# %% [markdown]
# **Which values share a mean.** We measure it with your functions: nudge one value of the input (marked) and
# see which outputs move. Rows are the images of the batch, columns the channels, and each cell is a feature
# map of $4\times4$ pixels.

# %% tags=["show"]
rng = np.random.default_rng(2)
maps = rng.normal(size=(3, 6, 4, 4))
ones, zeros = np.ones(6), np.zeros(6)
wide_ones, wide_zeros = np.ones((1, 6, 1, 1)), np.zeros((1, 6, 1, 1))
flat_ones, flat_zeros = np.ones(96), np.zeros(96)
kinds = {
    "spatial batch norm": lambda x: spatial_batchnorm_forward(x, ones, zeros, {"mode": "train"})[0],
    "layer norm": lambda x: layernorm_forward(x.reshape(3, 96), flat_ones, flat_zeros, {})[0].reshape(
        x.shape
    ),
    "group norm, G = 3": lambda x: groupnorm_forward(x, wide_ones, wide_zeros, 3, {})[0],
    "group norm, G = 6": lambda x: groupnorm_forward(x, wide_ones, wide_zeros, 6, {})[0],
}
nudged = maps.copy()
nudged[1, 2, 1, 1] += 0.5

fig, axes = plt.subplots(1, 4, figsize=(13, 2.6))
for ax, (title, normalise) in zip(axes, kinds.items(), strict=True):
    moved = np.abs(normalise(nudged) - normalise(maps)) > 1e-9
    ax.imshow(moved.transpose(0, 2, 1, 3).reshape(12, 24), cmap="Blues", vmin=0, vmax=1.6)
    ax.add_patch(Rectangle((8.5, 4.5), 1, 1, color="tab:orange"))
    ax.set_xticks(np.arange(4, 24, 4) - 0.5, [])
    ax.set_yticks([3.5, 7.5], [])
    ax.tick_params(length=0)
    ax.grid(color="0.6", lw=0.8)
    ax.set(title=title, xlabel="channels", ylabel="images")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 9.5 How large should weights be at the start?
#
# Assignment 6 had the answer for linear layers, and it holds for filters too. A unit adds up `fan_in`
# products of weights and inputs. If the weights are independent with variance $v$, the sum has the
# variance $\text{fan\_in}\cdot v\cdot \mathbb E[x^2]$: each layer multiplies the scale of its input by a
# factor, and over many layers that factor is raised to a high power. ReLU throws away half of the values
# and so halves $\mathbb E[x^2]$. The scale stays the same from layer to layer when (He et al., 2015,
# called Kaiming initialisation after its author's first name)
#
# $$
# W \sim \mathcal N\!\left(0,\; \frac{2}{\text{fan\_in}}\right)
# \qquad\text{that is, with the standard deviation } \sqrt{2/\text{fan\_in}} .
# $$
#
# `fan_in` is the number of inputs that one output unit sees: $D_\text{in}$ for a fully connected layer,
# $C\cdot HH\cdot WW$ for a convolution.


# %% question="kaiming_init"
def kaiming_init(shape, rng):
    """Weights for a layer that ReLU follows.

    shape    (F, C, HH, WW) for filters, or (D_in, D_out) for a fully connected layer
    rng      a seed or a numpy Generator: anything that np.random.default_rng takes

    Returns
    weights  of that shape, normal, mean 0, standard deviation sqrt(2 / fan_in);
             equal seeds give equal weights
    """
    rng = np.random.default_rng(rng)
    ### BEGIN SOLUTION
    fan_in = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
    return rng.normal(0, np.sqrt(2 / fan_in), size=shape)
    ### END SOLUTION


# %%
check("kaiming_init")

# %% [markdown]
# **Thirty layers deep.** The scale of the activations in a stack of thirty fully connected ReLU layers of 200
# units. With weights a little too small the signal dies, a little too large it explodes; with Kaiming's
# factor it survives. Batch normalisation after each layer repairs any of the three: that is one reason why it
# made deep networks easier to train.

# %% tags=["show"]
rng = np.random.default_rng(3)
start = rng.normal(size=(200, 200))
scales = {"half of Kaiming": 0.5, "Kaiming": 1.0, "twice Kaiming": 2.0}

fig, axes = plt.subplots(1, 2, figsize=(11, 3.4), sharey=True)
for name, factor in scales.items():
    for ax, with_batchnorm in zip(axes, (False, True), strict=True):
        activations, sizes = start, []
        for layer in range(30):
            activations = activations @ (factor * kaiming_init((200, 200), layer))
            if with_batchnorm:
                activations, _ = batchnorm_forward(
                    activations, np.ones(200), np.zeros(200), {"mode": "train"}
                )
            activations = np.maximum(activations, 0)
            sizes.append(np.sqrt(np.mean(activations**2)))
        ax.semilogy(range(1, 31), sizes, label=name)
axes[0].set(title="without normalisation", xlabel="layer", ylabel="root mean square activation")
axes[1].set(title="with batch normalisation", xlabel="layer")
axes[0].legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 9.6 Convolution, fast
#
# The four loops do the right thing tens of thousands of times, a few dozen multiplications at each turn; most
# of the time is Python's. A matrix product does all of it at once. Write each window as one row of a matrix
# ("im2col", image to columns), each filter as one row of another:
#
# $$
# \underbrace{\text{cols}}_{(N H' W')\times(C\,HH\,WW)}\;
# \underbrace{w_\text{rows}^{\top}}_{(C\,HH\,WW)\times F}
# \;=\;
# \underbrace{\text{out}}_{(N H' W')\times F}
# $$
#
# and the backward pass is that of a matrix product: $dw_\text{rows} = \text{dout}^{\top}\text{cols}$ and
# $d\text{cols} = \text{dout}\;w_\text{rows}$. What remains is to add each row of $d\text{cols}$ back into its
# window; for that, it is enough to loop over the $HH\cdot WW$ offsets within a window, and handle all windows
# at once.
#
# `np.lib.stride_tricks.sliding_window_view(padded, (HH, WW), axis=(2, 3))` gives all windows, shape
# $(N, C, \cdot, \cdot, HH, WW)$, without copying anything; every `stride`-th of them is wanted.
# `np.tensordot` and `np.einsum` are other good ways. The contract is that of `conv_forward` and
# `conv_backward`; the check also measures that you are faster than loops.


# %% question="conv_forward_fast"
def conv_forward_fast(x, w, b, conv_param):
    """The same as conv_forward, without a Python loop over images, filters or positions.

    x (N, C, H, W), w (F, C, HH, WW), b (F,), conv_param {"stride": s, "pad": p}
    Returns out (N, F, H', W') and a cache for conv_backward_fast.
    """
    ### BEGIN SOLUTION
    stride, pad = conv_param["stride"], conv_param["pad"]
    F, C, HH, WW = w.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (HH, WW), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    N, C, H_out, W_out = windows.shape[:4]
    cols = windows.transpose(0, 2, 3, 1, 4, 5).reshape(N * H_out * W_out, C * HH * WW)
    out = cols @ w.reshape(F, -1).T + b
    return out.reshape(N, H_out, W_out, F).transpose(0, 3, 1, 2), (x, w, b, conv_param)
    ### END SOLUTION


# %%
check("conv_forward_fast")


# %% question="conv_backward_fast"
def conv_backward_fast(dout, cache):
    """The same as conv_backward, without a Python loop over images, filters or positions.

    dout (N, F, H', W'), cache from conv_forward_fast
    Returns dx (N, C, H, W), dw (F, C, HH, WW), db (F,).
    """
    ### BEGIN SOLUTION
    x, w, _, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    H_out, W_out = dout.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (HH, WW), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    cols = windows.transpose(0, 2, 3, 1, 4, 5).reshape(N * H_out * W_out, C * HH * WW)
    dout_rows = dout.transpose(0, 2, 3, 1).reshape(N * H_out * W_out, F)

    dw = (dout_rows.T @ cols).reshape(w.shape)
    dcols = (dout_rows @ w.reshape(F, -1)).reshape(N, H_out, W_out, C, HH, WW).transpose(0, 3, 1, 2, 4, 5)
    dpadded = np.zeros_like(padded, dtype=dout.dtype)
    for k in range(HH):
        for m in range(WW):
            bottom, right = k + stride * H_out, m + stride * W_out
            dpadded[:, :, k:bottom:stride, m:right:stride] += dcols[:, :, :, :, k, m]
    return dpadded[:, :, pad : pad + H, pad : pad + W], dw, dout.sum(axis=(0, 2, 3))
    ### END SOLUTION


# %%
check("conv_backward_fast")

# %% [markdown]
# **What it buys.** A batch of eight $16\times16$ images with three channels, eight $3\times3$ filters; best
# of three runs. The axis is logarithmic.

# %% tags=["show", "timing"]
rng = np.random.default_rng(4)
x = rng.normal(size=(8, 3, 16, 16))
w = rng.normal(size=(8, 3, 3, 3))
b = rng.normal(size=8)
same = {"stride": 1, "pad": 1}


def milliseconds(function, *arguments):
    """The best of three."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - begin)
    return 1000 * min(times)


naive_out, naive_cache = conv_forward(x, w, b, same)
fast_out, fast_cache = conv_forward_fast(x, w, b, same)
timings = {
    "forward, loops": milliseconds(conv_forward, x, w, b, same),
    "forward, fast": milliseconds(conv_forward_fast, x, w, b, same),
    "backward, loops": milliseconds(conv_backward, naive_out, naive_cache),
    "backward, fast": milliseconds(conv_backward_fast, fast_out, fast_cache),
}
fig, ax = plt.subplots(figsize=(8, 2.4))
bars = ax.barh(list(timings), list(timings.values()), color=["tab:gray", "tab:blue"] * 2)
ax.bar_label(bars, [f" {t:.1f} ms" for t in timings.values()])
ax.set_xscale("log")
ax.set_xlim(right=6 * max(timings.values()))
ax.invert_yaxis()
ax.set_xlabel("milliseconds")
ax.set_title(
    f"forward {timings['forward, loops'] / timings['forward, fast']:.0f} times, "
    f"backward {timings['backward, loops'] / timings['backward, fast']:.0f} times as fast"
)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 9.7 A network of three layers
#
# Now the layers become a network:
#
# $$
# \text{conv} \to \text{ReLU} \to 2\times2\text{ max pool} \to
# \text{affine} \to \text{ReLU} \to \text{affine} \to \text{softmax}
# $$
#
# The convolution has stride 1 and pads with $(\text{filter\_size}-1)/2$ zeros, so the feature maps are as
# large as the image and the pool halves them. The loss is the mean cross-entropy plus a penalty on large
# weights,
#
# $$
# L = \frac1N\sum_n -\log p_{n,y_n} \;+\;
# \tfrac12\,\lambda\left(\lVert W_1\rVert^2+\lVert W_2\rVert^2+\lVert W_3\rVert^2\right),
# $$
#
# whose gradient adds $\lambda W$ to each weight's gradient. Biases are not penalised: they do not make a
# network more complicated.
#
# Every layer you need exists. Keep the caches of the forward pass and call the backward passes in the
# opposite order.


# %% question="three_layer_convnet"
class ThreeLayerConvNet:
    """conv - relu - 2x2 max pool - affine - relu - affine - softmax.

    input_dim     (C, H, W) of one image; H and W even
    num_filters   filters of the convolution, F
    filter_size   height and width of a filter, odd; the convolution keeps the size of the image
    hidden_dim    units of the hidden affine layer, M
    num_classes   K
    weight_scale  standard deviation of the weights at the start (normal, mean 0); biases start at 0
    reg           strength of the L2 penalty: 1/2 * reg * (sum of squares of W1, W2 and W3)
    seed          for np.random.default_rng; equal seeds give equal networks
    dtype         of the parameters and of all computation

    self.params   {"W1": (F, C, filter_size, filter_size), "b1": (F,),
                   "W2": (F * H/2 * W/2, M),               "b2": (M,),
                   "W3": (M, K),                           "b3": (K,)}
    """

    def __init__(
        self,
        input_dim=(3, 32, 32),
        num_filters=32,
        filter_size=7,
        hidden_dim=100,
        num_classes=10,
        weight_scale=1e-3,
        reg=0.0,
        seed=0,
        dtype=np.float64,
    ):
        self.params = {}
        self.reg = reg
        self.dtype = dtype
        rng = np.random.default_rng(seed)
        C, H, W = input_dim
        ### BEGIN SOLUTION
        shapes = {
            "1": (num_filters, C, filter_size, filter_size),
            "2": (num_filters * (H // 2) * (W // 2), hidden_dim),
            "3": (hidden_dim, num_classes),
        }
        for layer, shape in shapes.items():
            units = shape[0] if layer == "1" else shape[1]
            self.params["W" + layer] = (weight_scale * rng.normal(size=shape)).astype(dtype)
            self.params["b" + layer] = np.zeros(units, dtype=dtype)
        ### END SOLUTION

    def loss(self, X, y=None):
        """Scores, or loss and gradients.

        X        (N, C, H, W) images
        y        (N,) labels, or None

        Returns
        scores   (N, K)  when y is None; else
        loss     a float
        grads    a dictionary with the keys and shapes of self.params
        """
        X = X.astype(self.dtype)
        ### BEGIN SOLUTION
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        W3, b3 = self.params["W3"], self.params["b3"]
        conv_param = {"stride": 1, "pad": (W1.shape[2] - 1) // 2}
        pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}

        maps, conv_cache = conv_forward_fast(X, W1, b1, conv_param)
        maps, relu1_cache = relu_forward(maps)
        maps, pool_cache = max_pool_forward(maps, pool_param)
        hidden, affine2_cache = affine_forward(maps, W2, b2)
        hidden, relu2_cache = relu_forward(hidden)
        scores, affine3_cache = affine_forward(hidden, W3, b3)
        if y is None:
            return scores

        loss, dscores = softmax_loss(scores, y)
        loss += 0.5 * self.reg * sum(float(np.sum(W * W)) for W in (W1, W2, W3))

        grads = {}
        dhidden, grads["W3"], grads["b3"] = affine_backward(dscores, affine3_cache)
        dhidden = relu_backward(dhidden, relu2_cache)
        dmaps, grads["W2"], grads["b2"] = affine_backward(dhidden, affine2_cache)
        dmaps = max_pool_backward(dmaps, pool_cache)
        dmaps = relu_backward(dmaps, relu1_cache)
        _, grads["W1"], grads["b1"] = conv_backward_fast(dmaps, conv_cache)
        for name in ("W1", "W2", "W3"):
            grads[name] = grads[name] + self.reg * self.params[name]
        return loss, grads
        ### END SOLUTION


# %%
check("three_layer_convnet")

# %% [markdown]
# The training loop is Adam, as you wrote it in assignment 8. It works for any network with `params` and
# `loss`.


# %%
def accuracy(net, X, y):
    """The share of images whose highest score is that of the right class."""
    scores = np.concatenate([net.loss(X[i : i + 200]) for i in range(0, len(X), 200)])
    return float(np.mean(scores.argmax(axis=1) == y))


def train(net, X, y, X_val, y_val, *, epochs, batch_size=50, learning_rate=2e-3, decay=0.95, seed=0):
    """Adam; returns {"loss": one per step, "train": one accuracy per epoch, "val": likewise}."""
    rng = np.random.default_rng(seed)
    first = {name: np.zeros_like(p) for name, p in net.params.items()}
    second = {name: np.zeros_like(p) for name, p in net.params.items()}
    history = {"loss": [], "train": [], "val": []}
    step = 0
    for _ in range(epochs):
        order = rng.permutation(len(X))
        for i in range(0, len(X), batch_size):
            batch = order[i : i + batch_size]
            loss, grads = net.loss(X[batch], y[batch])
            history["loss"].append(loss)
            step += 1
            for name, g in grads.items():
                first[name] = 0.9 * first[name] + 0.1 * g
                second[name] = 0.999 * second[name] + 0.001 * g * g
                corrected = first[name] / (1 - 0.9**step)
                size = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
                net.params[name] = net.params[name] - learning_rate * corrected / size
        learning_rate *= decay
        history["train"].append(accuracy(net, X[:1000], y[:1000]))
        history["val"].append(accuracy(net, X_val, y_val))
    return history


# %% [markdown]
# **Two tests before any real training.** With tiny weights the network knows nothing and gives every class
# about the same probability, so the first loss must be $\log K$ ($2.303$ for ten classes). And a network that
# is right can learn a handful of images by heart: with 50 images the loss goes to zero and the accuracy to
# 100 %. If it does not, look for the error now: a long run on the full set would hide it.

# %% tags=["show"]
net = ThreeLayerConvNet(
    X_train.shape[1:], num_filters=8, filter_size=3, hidden_dim=50, num_classes=K, weight_scale=1e-2
)
first_loss, _ = net.loss(X_train[:100], y_train[:100])
history = train(
    net, X_train[:50], y_train[:50], X_val, y_val, epochs=30, batch_size=10, learning_rate=5e-3, decay=1.0
)

fig, axes = plt.subplots(1, 2, figsize=(10, 3.2))
axes[0].plot(history["loss"])
axes[0].axhline(np.log(K), color="0.5", ls="--", lw=1)
axes[0].text(
    len(history["loss"]), np.log(K), f"log {K} = {np.log(K):.3f} ", ha="right", va="bottom", color="0.4"
)
axes[0].set(title=f"50 images: loss, {first_loss:.3f} at the start", xlabel="step", ylim=(0, None))
axes[1].plot(history["train"], label="the 50 images")
axes[1].plot(history["val"], label="validation")
axes[1].set(title="accuracy", xlabel="epoch", ylim=(0, 1.02))
axes[1].legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# Fifty images are learned by heart, and they say something about images never seen, too: much on the digits,
# little on photographs. Now the whole training set.

# %% tags=["show"]
three_layer = ThreeLayerConvNet(
    X_train.shape[1:],
    num_filters=16,
    filter_size=5,
    hidden_dim=64,
    num_classes=K,
    weight_scale=5e-2,
    reg=1e-3,
)
three_layer_history = train(three_layer, X_train, y_train, X_val, y_val, epochs=EPOCHS, learning_rate=4e-3)


def show_curves(ax_loss, ax_accuracy, history, name, colour):
    """Loss per step (light) and smoothed, accuracy per epoch."""
    loss = np.array(history["loss"])
    smooth = np.convolve(loss, np.ones(15) / 15, mode="valid")
    ax_loss.plot(loss, color=colour, alpha=0.2, lw=0.8)
    ax_loss.plot(np.arange(7, 7 + len(smooth)), smooth, color=colour, label=name)
    epochs = range(1, len(history["val"]) + 1)
    ax_accuracy.plot(epochs, history["train"], color=colour, ls=":", lw=1.2)
    ax_accuracy.plot(epochs, history["val"], color=colour, label=f"{name}: {history['val'][-1]:.1%}")


fig, axes = plt.subplots(1, 2, figsize=(10, 3.2))
show_curves(*axes, three_layer_history, "three layers", "tab:blue")
axes[0].set(title="loss", xlabel="step", yscale="log")
axes[1].set(title="accuracy: validation (solid), training (dotted)", xlabel="epoch")
axes[1].legend(loc="lower right")
fig.tight_layout()
plt.show()

# %% [markdown]
# **The filters it learned**, and what they make of one image. Compare with the filters made by hand above:
# you will find edges in several directions among them, and some that are hard to name.

# %% tags=["show"]
W1 = three_layer.params["W1"]
example = X_train[:1]
responses, _ = conv_forward_fast(example, W1, three_layer.params["b1"], {"stride": 1, "pad": 2})
limit = np.abs(W1).max()
fig, axes = plt.subplots(2, 9, figsize=(13, 3.3))
axes[0, 0].axis("off")
axes[1, 0].imshow(as_picture(example[0]), cmap="gray")
axes[1, 0].set_title("image", fontsize=9)
for f in range(8):
    axes[0, f + 1].imshow(W1[f].mean(axis=0), cmap="RdBu", vmin=-limit, vmax=limit)
    axes[0, f + 1].set_title(f"filter {f}", fontsize=9)
    axes[1, f + 1].imshow(np.maximum(responses[0, f], 0), cmap="Blues")
for ax in axes.flat:
    ax.set_xticks([])
    ax.set_yticks([])
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 9.8 Any depth
#
# Deeper networks see more: after two $3\times3$ convolutions a unit has seen a $5\times5$ region, with
# pooling in between a larger one. Your last class stacks any number $L$ of blocks,
#
# $$
# \big[\;\text{conv} \to (\text{spatial batch norm}) \to \text{ReLU} \to (2\times2\text{ max pool})\;\big]
# \times L \;\to\; \text{affine} \to \text{softmax},
# $$
#
# with batch normalisation on or off for the whole network, and a pool after the blocks that `pools` names.
# The network is in training mode when it is given labels and in test mode when it is not; each block has a
# `bn_param` of its own, where its running averages live from one step to the next. The penalty is on all $W$,
# but not on biases, $\gamma$ or $\beta$.


# %% question="deep_convnet"
class DeepConvNet:
    """[conv - (spatial batch norm) - relu - (2x2 max pool)] x L - affine - softmax.

    input_dim     (C, H, W) of one image
    num_filters   (F1, ..., FL): the filters of each block; its length is the depth L
    pools         the blocks, counted from 1, that end with a 2x2 max pool of stride 2, such as (2, 4)
    batchnorm     whether each block has spatial batch normalisation between its convolution and its ReLU
    filter_size   of every convolution, odd; stride 1, padded so that the maps keep their size
    num_classes   K
    weight_scale  standard deviation of all weights at the start; None for kaiming_init. Biases and beta start
                  at 0, gamma at 1
    reg           strength of the L2 penalty: 1/2 * reg * (sum of squares of W1 ... W{L+1})
    seed          for np.random.default_rng; equal seeds give equal networks
    dtype         of the parameters and of all computation

    self.params     block l = 1 ... L: "W{l}" (F_l, F_{l-1}, filter_size, filter_size) and "b{l}" (F_l,),
                    where F_0 is C; with batch normalisation also "gamma{l}" (F_l,) and "beta{l}" (F_l,)
                    last layer: "W{L+1}" (D, K) and "b{L+1}" (K,), where D counts the values that the last
                    block returns for one image
    self.bn_params  with batch normalisation a list of L dictionaries, the bn_param of each block
    """

    def __init__(
        self,
        input_dim=(3, 32, 32),
        num_filters=(16, 16, 32, 32),
        pools=(2, 4),
        batchnorm=True,
        filter_size=3,
        num_classes=10,
        weight_scale=None,
        reg=0.0,
        seed=0,
        dtype=np.float64,
    ):
        self.params = {}
        self.num_blocks = len(num_filters)
        self.pools = tuple(pools)
        self.batchnorm = batchnorm
        self.bn_params = [{"mode": "train"} for _ in num_filters] if batchnorm else []
        self.reg = reg
        self.dtype = dtype
        rng = np.random.default_rng(seed)
        C, H, W = input_dim

        ### BEGIN SOLUTION
        def weights(shape):
            if weight_scale is None:
                return kaiming_init(shape, rng)
            return weight_scale * rng.normal(size=shape)

        channels = C
        for block, filters in enumerate(num_filters, start=1):
            self.params[f"W{block}"] = weights((filters, channels, filter_size, filter_size))
            self.params[f"b{block}"] = np.zeros(filters)
            if batchnorm:
                self.params[f"gamma{block}"] = np.ones(filters)
                self.params[f"beta{block}"] = np.zeros(filters)
            if block in self.pools:
                H, W = H // 2, W // 2
            channels = filters
        self.params[f"W{self.num_blocks + 1}"] = weights((channels * H * W, num_classes))
        self.params[f"b{self.num_blocks + 1}"] = np.zeros(num_classes)
        self.params = {name: value.astype(dtype) for name, value in self.params.items()}
        ### END SOLUTION

    def loss(self, X, y=None):
        """Scores in test mode, or loss and gradients in training mode.

        X        (N, C, H, W) images
        y        (N,) labels, or None

        Returns
        scores   (N, K)  when y is None; else
        loss     a float
        grads    a dictionary with the keys and shapes of self.params
        """
        X = X.astype(self.dtype)
        for bn_param in self.bn_params:
            bn_param["mode"] = "test" if y is None else "train"
        ### BEGIN SOLUTION
        p = self.params
        last = self.num_blocks + 1
        pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}

        maps, caches = X, []
        for block in range(1, last):
            W = p[f"W{block}"]
            conv_param = {"stride": 1, "pad": (W.shape[2] - 1) // 2}
            cache = {}
            maps, cache["conv"] = conv_forward_fast(maps, W, p[f"b{block}"], conv_param)
            if self.batchnorm:
                maps, cache["bn"] = spatial_batchnorm_forward(
                    maps, p[f"gamma{block}"], p[f"beta{block}"], self.bn_params[block - 1]
                )
            maps, cache["relu"] = relu_forward(maps)
            if block in self.pools:
                maps, cache["pool"] = max_pool_forward(maps, pool_param)
            caches.append(cache)
        scores, affine_cache = affine_forward(maps, p[f"W{last}"], p[f"b{last}"])
        if y is None:
            return scores

        loss, dscores = softmax_loss(scores, y)
        grads = {}
        dmaps, grads[f"W{last}"], grads[f"b{last}"] = affine_backward(dscores, affine_cache)
        for block in range(last - 1, 0, -1):
            cache = caches[block - 1]
            if block in self.pools:
                dmaps = max_pool_backward(dmaps, cache["pool"])
            dmaps = relu_backward(dmaps, cache["relu"])
            if self.batchnorm:
                dmaps, grads[f"gamma{block}"], grads[f"beta{block}"] = spatial_batchnorm_backward(
                    dmaps, cache["bn"]
                )
            dmaps, grads[f"W{block}"], grads[f"b{block}"] = conv_backward_fast(dmaps, cache["conv"])
        for block in range(1, last + 1):
            W = p[f"W{block}"]
            loss += 0.5 * self.reg * float(np.sum(W * W))
            grads[f"W{block}"] = grads[f"W{block}"] + self.reg * W
        return loss, grads
        ### END SOLUTION


# %%
check("deep_convnet")

# %% [markdown]
# **With and without batch normalisation**, six convolutions deep, from weights that are eight times too
# small. Without normalisation the signal is lost on its way through the layers (section 9.5), and so is the
# gradient on its way back: the network learns nothing for a long time.

# %% tags=["show"]
depth = {"num_filters": (8,) * 6, "pools": (2, 4), "num_classes": K, "weight_scale": 0.02, "reg": 1e-4}
small = slice(0, 1000)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.2))
for batchnorm, colour in ((False, "tab:gray"), (True, "tab:blue")):
    net = DeepConvNet(X_train.shape[1:], batchnorm=batchnorm, **depth)
    run = train(net, X_train[small], y_train[small], X_val, y_val, epochs=6)
    show_curves(*axes, run, "with batch norm" if batchnorm else "without", colour)
axes[0].set(title="loss", xlabel="step", yscale="log")
axes[1].set(title="accuracy: validation (solid), training (dotted)", xlabel="epoch", ylim=(0, 1.02))
axes[1].legend(loc="center right")
fig.tight_layout()
plt.show()

# %% [markdown]
# **The real run**: four convolutions with Kaiming's weights and batch normalisation. The test set is looked
# at once, at the very end.

# %% tags=["show"]
deep = DeepConvNet(X_train.shape[1:], num_filters=(16, 16, 32, 32), pools=(2, 4), num_classes=K, reg=1e-3)
deep_history = train(deep, X_train, y_train, X_val, y_val, epochs=EPOCHS)

fig, axes = plt.subplots(1, 2, figsize=(10, 3.2))
show_curves(*axes, three_layer_history, "three layers", "tab:gray")
show_curves(*axes, deep_history, "deep", "tab:blue")
axes[0].set(title="loss", xlabel="step", yscale="log")
axes[1].set(title="accuracy: validation (solid), training (dotted)", xlabel="epoch")
axes[1].legend(loc="lower right")
three_layer_test, deep_test = (accuracy(net, X_test, y_test) for net in (three_layer, deep))
fig.suptitle(f"test accuracy: three layers {three_layer_test:.1%}, deep {deep_test:.1%}")
fig.tight_layout()
plt.show()

# %% [markdown]
# **Where it errs.** Left: the confusion matrix on the test set; its diagonal (the right answers) is left
# blank so that the errors show. Right: the test images to whose true class the network gives the lowest
# probability, with the true class and the one it prefers. Would you have known?

# %% tags=["show"]
scores = deep.loss(X_test)
predictions = scores.argmax(axis=1)
confusion = np.zeros((K, K), dtype=int)
np.add.at(confusion, (y_test, predictions), 1)
probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
probabilities /= probabilities.sum(axis=1, keepdims=True)
hardest = np.argsort(probabilities[np.arange(len(y_test)), y_test])[:10]

fig = plt.figure(figsize=(12.5, 4.4))
left, right = fig.subfigures(1, 2, width_ratios=[1, 1.5])
ax = left.subplots()
errors = np.where(np.eye(K, dtype=bool), 0, confusion)
ax.imshow(errors, cmap="Oranges")
for (i, j), count in np.ndenumerate(errors):
    if count:
        ax.text(
            j, i, count, ha="center", va="center", color="white" if count > 0.6 * errors.max() else "black"
        )
ax.set_xticks(range(K), class_names, rotation=90 if len(class_names[0]) > 1 else 0)
ax.set_yticks(range(K), class_names)
ax.set(xlabel="prediction", ylabel="true class", title=f"{errors.sum()} errors in {len(y_test)} test images")
arrow = " → " if len(class_names[0]) == 1 else "\n→ "
for ax, i in zip(right.subplots(2, 5).flat, hardest, strict=True):
    ax.imshow(as_picture(X_test[i]), cmap="gray")
    colour = "black" if predictions[i] == y_test[i] else "tab:red"
    title = f"{class_names[y_test[i]]}{arrow}{class_names[predictions[i]]}"
    ax.set_title(title, fontsize=10, color=colour)
    ax.set_xticks([])
    ax.set_yticks([])
plt.show()

# %% [markdown]
# ## What you have now
#
# The layers of a convolutional network, each of them proved against its derivative, and two networks made
# from them. On CIFAR-10 this is the road from about 50 % (fully connected) past 70 %. In the next part of the
# course PyTorch will write the backward passes for you; you will know what it writes.
