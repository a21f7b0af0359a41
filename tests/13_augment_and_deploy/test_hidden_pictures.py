"""Foreign pictures: of every mode, size, orientation and type, against what each should become."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from autograder.checking import StudentError, assert_close, assert_unchanged, fail

BYTE = 1.1 / 255  # a level of a byte, and a little: pixels may be rounded on the way


def ready(student, image, *size):
    """What preprocess makes of an image, of the right type."""
    result = student.preprocess(image, *size)
    if not isinstance(result, torch.Tensor) or result.dtype != torch.float32:
        fail("preprocess should return a float32 tensor.", value=result)
    side = size[0] if size else 32
    if tuple(result.shape) != (3, side, side):
        fail("The result has another shape.", expected=f"(3, {side}, {side})", got=str(tuple(result.shape)))
    return result.numpy()


def encoded(pixels, kind="PNG", mode=None, **options):
    """The content of a picture file."""
    image = Image.fromarray(pixels)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


def expected_of(pixels):
    """The right answer for an array (S, S[, C]) of the right size: (3, S, S)."""
    whole = pixels / 255 if pixels.dtype == np.uint8 else pixels.astype(float)
    whole = whole[:, :, None] if whole.ndim == 2 else whole
    if whole.shape[2] == 4:
        whole = whole[:, :, :3] * whole[:, :, 3:]
    return np.broadcast_to(whole, (*whole.shape[:2], 3)).transpose(2, 0, 1)


def noise(rng, *shape):
    """Random bytes."""
    return rng.integers(0, 256, size=shape).astype(np.uint8)


def smooth(rng, height, width, channels=3, border=0):
    """A picture of a few soft waves, black towards its border where asked for: floats from 0 to 1."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = np.stack(
        [
            np.cos(rng.uniform(2, 6) * x + rng.uniform(0, 6)) * np.cos(rng.uniform(2, 6) * y)
            for _ in range(channels)
        ],
        axis=-1,
    )
    picture = 0.5 + 0.45 * waves
    if border:
        inside = np.zeros((height, width, 1))
        inside[border:-border, border:-border] = 1
        picture = picture * inside
    return picture


# --- values
@pytest.mark.question("preprocess", weight=2)
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_preprocess_arrays(student, rng, channels):
    """Arrays of the right size keep every pixel: bytes are divided by 255, floats are not, alpha is black."""
    shape = (8, 8, channels) if channels else (8, 8)
    pixels = noise(rng, *shape)
    hint = "Bytes / 255; grey three times; rgb * alpha."
    result = ready(student, pixels, 8)
    assert_close(result, expected_of(pixels), rtol=0, atol=BYTE, what="the picture from bytes", hint=hint)
    for dtype in (np.float16, np.float32, np.float64):
        floats = (pixels / 255).astype(dtype)
        result = ready(student, floats, 8)
        what = f"the picture from {np.dtype(dtype).name}"
        assert_close(result, expected_of(floats), rtol=0, atol=2 * BYTE, what=what, hint=hint)
    dark = (pixels // 255).astype(float) * 0.004  # floats are never bytes, however small they are
    assert_close(
        ready(student, dark, 8),
        expected_of(dark),
        rtol=0,
        atol=BYTE,
        what="a nearly black picture",
        hint=hint,
    )


@pytest.mark.question("preprocess", weight=2)
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_preprocess_modes(student, rng, mode):
    """Files in grey, with alpha, with a palette, in black and white: the same picture as its pixels say."""
    pixels = noise(rng, 8, 8, 4)
    pixels[:, :4, 3] = 255
    content = encoded(pixels, "PNG", mode)
    shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))
    result = ready(student, content, 8)
    assert_close(
        result, expected_of(shown), rtol=0, atol=BYTE, what=f"a PNG of mode {mode}", hint='.convert("RGBA")'
    )


@pytest.mark.question("preprocess")
def test_preprocess_formats(student, rng):
    """PNG, BMP, GIF and JPEG, with a palette that is transparent, too."""
    pixels = np.rint(255 * smooth(rng, 32, 32)).astype(np.uint8)
    for kind, atol in (("PNG", BYTE), ("BMP", BYTE), ("JPEG", 0.04)):
        options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
        result = ready(student, encoded(pixels, kind, **options))
        assert_close(result, expected_of(pixels), rtol=0, atol=atol, what=f"a {kind}")
    palette = Image.fromarray(noise(rng, 8, 8) % 4, "P")
    palette.putpalette([10, 20, 30, 250, 0, 0, 0, 250, 0, 0, 0, 250])
    stream = io.BytesIO()
    palette.save(stream, "PNG", transparency=1)
    shown = np.asarray(Image.open(io.BytesIO(stream.getvalue())).convert("RGBA"))
    assert shown[..., 3].min() == 0
    what = "a palette with a transparent colour"
    assert_close(ready(student, stream.getvalue(), 8), expected_of(shown), rtol=0, atol=BYTE, what=what)


TURNED = {
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1), 6: lambda p: np.rot90(p, 1), 7: lambda p: np.rot90(p.swapaxes(0, 1), 2),
    8: lambda p: np.rot90(p, -1),
}  # fmt: skip
"""How a camera stores an upright picture for each value of EXIF's orientation."""


@pytest.mark.question("preprocess", weight=2)
@pytest.mark.parametrize("orientation", TURNED)
def test_preprocess_exif(student, rng, orientation):
    """A photograph is upright, whichever way the camera was held."""
    upright = np.rint(255 * smooth(rng, 16, 16)).astype(np.uint8)
    upright[:8, :5] = 250  # no symmetry
    note = Image.Exif()
    note[0x0112] = orientation
    stored = np.ascontiguousarray(TURNED[orientation](upright))
    for kind, atol, options in (("JPEG", 0.08, {"quality": 97, "subsampling": 0}), ("PNG", BYTE, {})):
        result = ready(student, encoded(stored, kind, exif=note, **options), 16)
        what = f"a {kind} with the orientation {orientation}"
        assert_close(
            result, expected_of(upright), rtol=0, atol=atol, what=what, hint="ImageOps.exif_transpose"
        )


@pytest.mark.question("preprocess")
def test_preprocess_exif_wide(student, rng):
    """A photograph that lies on its side and is not square gets its bars after it was turned."""
    upright = noise(rng, 8, 4, 3)
    note = Image.Exif()
    note[0x0112] = 6
    content = encoded(np.ascontiguousarray(np.rot90(upright, 1)), "PNG", exif=note)
    expected = np.pad(expected_of(upright), ((0, 0), (0, 0), (2, 2)))
    result = ready(student, content, 8)
    assert_close(
        result, expected, rtol=0, atol=BYTE, what="a narrow photograph", hint="First turn, then bars."
    )


# --- sizes
@pytest.mark.question("preprocess", weight=2)
def test_preprocess_bars(student, rng):
    """A picture that is not square gets black bars of the same width on both sides, and is not squeezed."""
    for height, width in ((8, 4), (2, 8), (8, 6)):
        pixels = noise(rng, height, width, 3) | 1
        result = ready(student, pixels, 8)
        bars = ((0, 0), ((8 - height) // 2,) * 2, ((8 - width) // 2,) * 2)
        what = f"a picture of {height} x {width}"
        hint = "F.pad to a square first, with zeros on both sides."
        assert_close(result, np.pad(expected_of(pixels), bars), rtol=0, atol=BYTE, what=what, hint=hint)
        grey = noise(rng, height, width) / 255
        assert_close(
            ready(student, grey, 8), np.pad(expected_of(grey), bars), rtol=0, atol=BYTE, what=what, hint=hint
        )


@pytest.mark.question("preprocess", weight=2)
def test_preprocess_resizes(student, reference, rng):
    """Larger and smaller pictures, square or not, are resized bilinearly."""
    for height, width, size in (
        (64, 64, 16),
        (96, 48, 16),
        (20, 20, 32),
        (50, 70, 32),
        (16, 12, 24),
        (33, 33, 8),
    ):
        border = max(3 * max(height, width) // size, 3)
        picture = smooth(rng, height, width, border=border)
        expected = reference.preprocess(picture, size).numpy()
        what = f"a picture of {height} x {width}, as {size} x {size}"
        hint = "v2.functional.resize(square, [size, size], antialias=True)"
        result = ready(student, picture, size)
        assert_close(result, expected, rtol=0, atol=0.03, what=what, hint=hint)
        pixels = np.rint(255 * picture).astype(np.uint8)
        assert_close(ready(student, pixels, size), expected, rtol=0, atol=0.03, what=what, hint=hint)


@pytest.mark.question("preprocess", weight=2)
def test_preprocess_antialiased(student, rng):
    """A new pixel is an average over the old ones under it: fine stripes become grey, a thin line stays."""
    for axis in (0, 1):
        stripes = np.zeros((96, 96), dtype=np.uint8)
        stripes[(slice(None),) * axis + (slice(None, None, 2),)] = 255
        result = ready(student, stripes, 12)[:, 2:-2, 2:-2]
        hint = "antialias=True"
        assert_close(result, np.full((3, 8, 8), 0.5), rtol=0, atol=0.05, what="fine stripes", hint=hint)
    for place in (40, 43, 45, 50):
        line = np.zeros((96, 96))
        line[:, place] = 1
        result = ready(student, line, 12)[:, 2:-2]
        total = result.sum(axis=2)
        assert_close(
            total, np.full((3, 8), 1 / 8), rtol=0, atol=0.02, what="the light of a thin line", hint=hint
        )


@pytest.mark.question("preprocess")
def test_preprocess_transparent(student, reference, rng):
    """What is transparent is black before anything is resized: what colour lay under it does not matter."""
    picture = smooth(rng, 48, 48, 4)
    picture[..., 3] = (np.hypot(*(np.mgrid[0:48, 0:48] - 23.5)) < 17) * 0.8
    under = picture.copy()
    under[picture[..., 3] == 0, :3] = 1
    expected = reference.preprocess(picture, 16).numpy()
    for name, version in (("something", picture), ("white", under)):
        what = f"a picture with {name} under its transparent part"
        hint = "rgb * alpha first, then resize."
        assert_close(ready(student, version, 16), expected, rtol=0, atol=0.03, what=what, hint=hint)


@pytest.mark.question("preprocess")
def test_preprocess_range(student, rng):
    """Values stay between 0 and 1, by default in 32 x 32; the array is not changed."""
    for pixels in (noise(rng, 45, 61, 3), noise(rng, 9, 9), rng.random(size=(70, 30, 4))):
        result = ready(student, pixels)
        if result.min() < -1e-6 or result.max() > 1 + 1e-6:
            fail("Values leave the range from 0 to 1.", got=f"from {result.min():.3g} to {result.max():.3g}")
        assert_unchanged(student.preprocess, pixels)
        assert_unchanged(student.preprocess, pixels, 8)


@pytest.mark.question("preprocess")
def test_preprocess_refuses(student, rng):
    """Bytes that are no picture, and arrays of another shape or dtype, are a ValueError."""
    whole = encoded(noise(rng, 30, 30, 3), "PNG")
    for kind, image in {
        "a text": b"GIF89 is what this is not",
        "no bytes": b"",
        "half a file": whole[: len(whole) // 2],
        "five channels": noise(rng, 4, 4, 5),
        "two channels": noise(rng, 4, 4, 2),
        "channels in front": noise(rng, 3, 8, 8),
        "one axis": noise(rng, 9),
        "four axes": noise(rng, 1, 4, 4, 3),
        "int64": rng.integers(0, 256, size=(4, 4, 3)),
        "bool": noise(rng, 4, 4) > 99,
    }.items():
        try:
            result = student.preprocess(image, 8)
        except StudentError as error:
            if error.type != "ValueError":
                raise
        else:
            fail(f"An image that is {kind} is taken without an error.", expected="ValueError", value=result)
