"""Images in a finding: small PNG files inside the page, made here of arrays that the grader drew itself."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt

from autograder.course.results import MAX_PICTURE, Picture

MAX_SIDE = 64


def picture(image: npt.NDArray[Any], caption: str) -> Picture:
    """An image with its caption.

    Parameters
    ----------
    image : array (H, W), (3, H, W) or (H, W, 3)
        Floating-point numbers lie in 0..1, whole ones in 0..255. Of a large image every second, third, ...
        pixel is kept, so that no side has more than 64.
    caption : str
    """
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] != 3:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or not pixels.size:
        raise ValueError(f"an array of shape {pixels.shape} is no image")
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels) * 255.0
    step = -(-max(pixels.shape[:2]) // MAX_SIDE)
    pixels = np.clip(np.rint(pixels[::step, ::step]), 0, 255).astype(np.uint8)
    encoded = base64.b64encode(_png(pixels)).decode()
    if len(encoded) > MAX_PICTURE:  # noise hardly shrinks: four bits a channel do
        encoded = base64.b64encode(_png(pixels & 0xF0)).decode()
    return Picture(png=encoded, caption=caption)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Pixels of shape (H, W) or (H, W, 3) as a PNG file."""
    from PIL import Image  # a failure that shows images is rare, and the import takes its time

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
