"""Images in a finding: small PNG files inside the page, made here of arrays that the grader drew itself."""

from __future__ import annotations

import base64
import struct
import zlib
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
    """Pixels of shape (H, W) or (H, W, 3) as a PNG file (RFC 2083): one filter byte before each row."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    colour_type = 2 if pixels.ndim == 3 else 0
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
