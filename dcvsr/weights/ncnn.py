"""Reader of ncnn's network files: a text file of layers (.param) and a binary file of weights (.bin).

Format (ncnn's documentation, "param and model file structure"): a layer is a line of text with its type,
name, numbers of inputs and outputs, their names, and ``key=value`` settings. A convolution's weights begin
with a 32-bit tag of their storage type and are padded to 32 bits; biases and slopes have neither.
"""

from pathlib import Path

import numpy as np

from dcvsr.runtime.errors import UserError

MAGIC = "7767517"
HALF = 0x01306B47  # tag of float16
FULL = 0  # tag of float32
WITHOUT_WEIGHTS = {"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "PixelShuffle"}


def read_ncnn(path: Path) -> list[np.ndarray]:
    """Read the float32 weights of a ``.bin`` in the layer order of the ``.param`` beside it.

    A convolution yields ``o i y x`` and, if present, its bias ``o``; a PReLU yields its slopes.

    Raises:
        UserError: if a file is missing, has an unsupported layer, or has the wrong length.
    """
    layers = path.with_suffix(".param")
    for each in (path, layers):
        if not each.is_file():
            raise UserError(f"there is no {each}; an ncnn network needs two files, .param and .bin")
    magic, _, *lines = layers.read_text().splitlines()
    if magic != MAGIC:
        raise UserError(f"{layers} is not an ncnn .param file: it begins with {magic[:20]}, not with {MAGIC}")
    arrays, weights = [], _Weights(path)
    for kind, name, settings in map(_layer, lines):
        if kind == "Convolution":
            out, size, total = settings["0"], settings["1"], settings["6"]
            arrays.append(weights.tagged(total).reshape(out, total // (out * size**2), size, size))
            if settings.get("5"):
                arrays.append(weights.bare(out))
        elif kind == "PReLU":
            arrays.append(weights.bare(settings["0"]))
        elif kind not in WITHOUT_WEIGHTS:
            raise UserError(f"{layers}: {name} is a {kind} layer, which is not supported")
    weights.require_end()
    return arrays


def _layer(line: str) -> tuple[str, str, dict[str, int]]:
    """Parse the type, the name and the integer settings of a layer."""
    kind, name, inputs, outputs, *rest = line.split()
    settings = (part.split("=") for part in rest[int(inputs) + int(outputs) :])
    return kind, name, {key: int(value) for key, value in settings if value.lstrip("-").isdigit()}


class _Weights:
    """Sequential reader of a ``.bin``; only ``_take`` moves ``_position``."""

    def __init__(self, path: Path) -> None:
        self._path, self._bytes, self._position = path, path.read_bytes(), 0

    def bare(self, count: int, kind: str = "<f4") -> np.ndarray:
        return np.frombuffer(self._take(count * np.dtype(kind).itemsize), kind).astype(np.float32)

    def tagged(self, count: int) -> np.ndarray:
        tag = int.from_bytes(self._take(4), "little")
        if tag not in (HALF, FULL):
            raise UserError(
                f"{self._path} stores weights as {tag:#010x}; only float32 and float16 are supported"
            )
        array = self.bare(count, "<f2" if tag == HALF else "<f4")
        self._take(-self._position % 4)
        return array

    def require_end(self) -> None:
        if self._position != len(self._bytes):
            left = len(self._bytes) - self._position
            raise UserError(f"{self._path} has {left} bytes more than its .param describes")

    def _take(self, count: int) -> bytes:
        taken = self._bytes[self._position : self._position + count]
        if len(taken) < count:
            raise UserError(f"{self._path} is shorter than its .param describes")
        self._position += count
        return taken
