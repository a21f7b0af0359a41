"""Public data has public labels: test images are changed afresh for each grading, so that known answers are
worth nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def disguise(
    images: ArrayLike,
    labels: ArrayLike,
    rng: np.random.Generator,
    *,
    noise: float = 0.02,
    shift: int = 0,
    permutation: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Shifted and perturbed images in a new order, with permuted class numbers.

    Args:
        images: shape (N, H, W) or (N, C, H, W) or (N, D); with `shift`, the last two axes are image axes.
        labels: shape (N,), integers in [0, K).
        rng: the test's generator.
        noise: standard deviation of the added noise, in units of the images' standard deviation.
        shift: largest shift in pixels, drawn for each image and axis; the border is repeated.
        permutation: class numbers to use (a second split of the same data set); drawn when None.

    Returns:
        images (float64, same shape), labels (int64), and the permutation: new label = permutation[old label].
    """
    pictures = np.array(images, dtype=np.float64)
    classes = np.asarray(labels, dtype=np.int64)
    if permutation is None:
        permutation = rng.permutation(int(classes.max()) + 1).astype(np.int64)
    order = rng.permutation(len(pictures))
    pictures = pictures[order]
    if shift:
        height, width = pictures.shape[-2:]
        padding = [(0, 0)] * (pictures.ndim - 2) + [(shift, shift)] * 2
        for n, padded in enumerate(np.pad(pictures, padding, mode="edge")):
            top, left = rng.integers(0, 2 * shift + 1, size=2)
            pictures[n] = padded[..., top : top + height, left : left + width]
    pictures += rng.normal(scale=noise * float(pictures.std()), size=pictures.shape)
    return pictures, permutation[classes[order]], permutation
