"""Photographs in files of the data root, as arrays. A file that cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from autograder.datasets.model import DatasetDamaged


def open_photograph(path: Path, *, formats: tuple[str, ...] = ("JPEG",), mode: str = "RGB") -> Image.Image:
    """The photograph, decoded and in `mode`. Raises `DatasetDamaged` where it is missing or broken."""
    try:
        with Image.open(path, formats=formats) as image:
            return image.convert(mode)
    except FileNotFoundError:
        raise DatasetDamaged(f"{path} is missing. Put it there again.") from None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetDamaged(f"{path} is not a photograph that can be read. Put it there again.") from error


def reduced(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """An image made square: (3, size, size) of one in RGB, (size, size) of a grey one."""
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if pixels.ndim == 3 else pixels
