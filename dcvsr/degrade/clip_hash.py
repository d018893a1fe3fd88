"""What a clip's pixels are, in 64 hexadecimal digits.

Axes: h w pixels, c colours (RGB).
"""

import hashlib

from einops import rearrange
from torch import Tensor


class Digest:
    """SHA-256 of a clip's pixels and shape, frame by frame: the same whatever file they lie in.

    Anyone can compute it: of the line ``"{frames} {height} {width} 3\\n"`` in ASCII, and then of every frame
    in the order of the numbers in its name, its rows from the top, its pixels from the left, and of each
    R, G, B in eight bits::

        def numbers(path):
            return [int(digits) for digits in re.findall("[0-9]+", path.stem)]

        paths = sorted(folder.glob("*.png"), key=numbers)
        images = [numpy.asarray(Image.open(path).convert("RGB")) for path in paths]
        sha256 = hashlib.sha256(b"%d %d %d 3\\n" % (len(images), *images[0].shape[:2]))
        for image in images:
            sha256.update(image.tobytes())

    Args:
        frames, height, width: of the clip.
    """

    def __init__(self, frames: int, height: int, width: int) -> None:
        self._sha256 = hashlib.sha256(f"{frames} {height} {width} 3\n".encode())

    def update(self, frame: Tensor) -> None:
        """Take in the next frame, uint8 ``c h w``."""
        self._sha256.update(rearrange(frame, "c h w -> h w c").numpy().tobytes())

    @property
    def digits(self) -> str:
        return self._sha256.hexdigest()
