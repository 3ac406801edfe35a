"""A picture → 64 bits that stay nearly the same when it is scaled or compressed anew; Pillow reads it, where installed."""

from __future__ import annotations

import io
import struct
from importlib.util import find_spec

from proto.errors import Malformed

SIDE = 8
"""Rows, and differences in a row."""
MOST_PIXELS = 4_096 * 4_096
"""Larger ones are no profile pictures, and are not decoded."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
LEAST_CONTRAST = 24
"""Grey levels between the darkest and the lightest field; a plainer picture tells nobody from others."""


def is_available() -> bool:
    """Whether pictures can be read here."""
    return find_spec("PIL") is not None


def difference_hash(picture: bytes) -> bytes:
    """8 bytes: whether each field of the picture, scaled to 9 × 8 grey ones, is lighter than its left neighbour (dHash,
    Krawetz 2013). Empty for a picture that is too plain. Raises Malformed for what is no picture."""
    grey = _grey(picture)
    if max(grey) - min(grey) < LEAST_CONTRAST:
        return b""
    width = SIDE + 1
    lighter = [grey[row * width + at + 1] > grey[row * width + at] for row in range(SIDE) for at in range(SIDE)]
    return sum(1 << at for at, is_lighter in enumerate(lighter) if is_lighter).to_bytes(SIDE, "big")


def _grey(picture: bytes) -> bytes:
    """9 × 8 grey levels, row by row."""
    from PIL import Image  # an optional package, and slow to import

    try:
        with Image.open(io.BytesIO(picture), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Malformed(f"a picture of {image.width} × {image.height} pixels")
            image.draft("L", (16 * SIDE, 16 * SIDE))
            grey: bytes = image.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX).tobytes()
            return grey
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise Malformed(f"no picture: {error}") from error
