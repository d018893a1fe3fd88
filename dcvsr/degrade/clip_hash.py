"""SHA-256 of the pixels of a clip, independent of the file format.

Axes: h w pixels, c colours (RGB).
"""

import hashlib

from einops import rearrange
from torch import Tensor


class Digest:
    r"""SHA-256 of a clip's pixels and shape, updated frame by frame.

    The hashed bytes are the line ``"{frames} {height} {width} 3\n"`` in ASCII, then the frames in the order
    of the numbers in their names: rows from the top, pixels from the left, each as R, G, B in eight bits. To
    compute the hash without this package::

        def numbers(path):
            return [int(digits) for digits in re.findall("[0-9]+", path.stem)]

        paths = sorted(folder.glob("*.png"), key=numbers)
        images = [numpy.asarray(Image.open(path).convert("RGB")) for path in paths]
        sha256 = hashlib.sha256(b"%d %d %d 3\n" % (len(images), *images[0].shape[:2]))
        for image in images:
            sha256.update(image.tobytes())

    Args:
        frames: number of frames.
        height: height in pixels.
        width: width in pixels.
    """

    def __init__(self, frames: int, height: int, width: int) -> None:
        self._sha256 = hashlib.sha256(f"{frames} {height} {width} 3\n".encode())

    def update(self, frame: Tensor) -> None:
        """Hash the next frame, uint8 ``c h w``."""
        self._sha256.update(rearrange(frame, "c h w -> h w c").numpy().tobytes())

    @property
    def digits(self) -> str:
        """Hash as 64 hexadecimal digits."""
        return self._sha256.hexdigest()
