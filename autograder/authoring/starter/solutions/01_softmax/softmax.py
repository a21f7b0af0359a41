# %% [markdown]
# # 1. Softmax and cross-entropy
#
# A classifier gives each class a score, any number at all. To ask how good the scores are, we turn them into
# probabilities first, and then look at the probability that the right class was given.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import matplotlib.pyplot as plt
import numpy as np

from autograder import check

# %% [markdown]
# ## From scores to probabilities
#
# For one example with scores $s_1, \dots, s_C$,
#
# $$p_j = \frac{e^{s_j}}{\sum_k e^{s_k}} .$$
#
# $e^{1000}$ is more than a floating-point number can hold. Shifting all scores of an example by the same
# number changes no probability, so subtract the largest score first.


# %% question="softmax"
def softmax(scores):
    """Return the probabilities of the classes.

    Args:
        scores: shape (N, C), one row for each example; not to be modified.

    Returns:
        Shape (N, C), from 0 to 1; each row sums to 1, however large the scores are.
    """
    ### BEGIN SOLUTION
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)
    ### END SOLUTION


# %%
check("softmax")

# %% [markdown]
# Three classes, two of them with fixed scores: as the score of the third grows, it takes over.

# %% tags=["show"]
grid = np.linspace(-4, 6, 101)
curves = softmax(np.stack([np.zeros_like(grid), np.ones_like(grid), grid], axis=1))
plt.figure(figsize=(7, 3.2), layout="constrained")
for curve, name in zip(curves.T, ("score 0", "score 1", "score on the axis"), strict=True):
    plt.plot(grid, curve, label=name)
plt.xlabel("score of the third class")
plt.ylabel("probability")
plt.legend()
plt.show()

# %% [markdown]
# ## How wrong?
#
# With $y_i$ the right class of example $i$, the **cross-entropy** is the mean of the negative logarithms of
# the probabilities that the right classes were given,
#
# $$L = -\frac{1}{N} \sum_{i=1}^{N} \ln p_{i, y_i} .$$


# %% question="cross_entropy"
def cross_entropy(probabilities, labels):
    """Return the cross-entropy.

    Args:
        probabilities: shape (N, C), as `softmax` returns them; all above 0.
        labels: the right classes, whole numbers from 0 to C - 1, shape (N,).

    Returns:
        The mean over the examples, a number (natural logarithms).
    """
    ### BEGIN SOLUTION
    right = probabilities[np.arange(len(labels)), labels]
    return -np.mean(np.log(right))
    ### END SOLUTION


# %%
check("cross_entropy")
