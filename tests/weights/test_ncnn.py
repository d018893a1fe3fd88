"""ncnn's files: the arrays that they hold, and what is no such file."""

from pathlib import Path

import numpy as np
import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.weights.ncnn import read_ncnn

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 5, 3, 3)).astype("<f2")  # 135 halves: padded to 32 bits
BIAS, SLOPES = RNG.normal(size=3).astype("<f4"), RNG.normal(size=3).astype("<f4")
SQUARE = RNG.normal(size=(2, 3, 1, 1)).astype("<f4")

LAYERS = """7767517
5 5
Input        data 0 1 data
Convolution  first 1 1 data a 0=3 1=3 4=1 5=1 6=135 9=2 -23310=1,2.000000e-01
PReLU        slopes 1 1 a b 0=3
Convolution  second 1 1 b c 0=2 1=1 6=6
Interp       upsample 1 1 c output 0=1 1=4.000000e+00 2=4.000000e+00
"""
WEIGHTS = (
    b"\x47\x6b\x30\x01" + KERNEL.tobytes() + bytes(2) + BIAS.tobytes()
    + SLOPES.tobytes()
    + bytes(4) + SQUARE.tobytes()
)  # fmt: skip


def written(folder: Path, layers: str = LAYERS, weights: bytes = WEIGHTS) -> Path:
    (folder / "net.param").write_text(layers)
    (folder / "net.bin").write_bytes(weights)
    return folder / "net.bin"


def test_arrays_come_in_the_order_of_the_layers(tmp_path: Path) -> None:
    arrays = read_ncnn(written(tmp_path))
    for found, expected in zip(arrays, [KERNEL, BIAS, SLOPES, SQUARE], strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("missing", ["net.bin", "net.param"])
def test_the_file_that_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    path = written(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match=f"there is no .*{missing}"):
        read_ncnn(path)


@pytest.mark.parametrize(
    ("layers", "weights", "reason"),
    [
        (LAYERS, WEIGHTS[:-1], "net.bin is shorter than"),
        (LAYERS, WEIGHTS + bytes(3), "3 bytes more than"),
        (LAYERS, b"\xd4\xb3\x0d\x00" + WEIGHTS[4:], "0x000db3d4; only float32 and float16"),
        (LAYERS.replace("PReLU ", "LSTM "), WEIGHTS, "slopes is a LSTM"),
        (LAYERS.replace("7767517", "solid"), WEIGHTS, "begins with solid"),
    ],
)
def test_a_damaged_or_unsupported_network_is_refused(
    tmp_path: Path, layers: str, weights: bytes, reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        read_ncnn(written(tmp_path, layers, weights))
