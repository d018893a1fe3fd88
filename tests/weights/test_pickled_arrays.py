"""Files of weights: digests, and pickles that are read without being run."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256
from dcvsr.weights.pickled_arrays import read_arrays

ARRAYS = {"net": {"kernel": np.arange(24, dtype="<f4").reshape(2, 3, 4), "bias": np.zeros(3, dtype="<f4")}}


class Command:
    def __init__(self, function: Any, argument: str) -> None:
        self.function, self.argument = function, argument

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return self.function, (self.argument,)


def test_sha256_is_the_standards(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("spelling", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_arrays_are_read_as_either_numpy_wrote_them(tmp_path: Path, spelling: bytes) -> None:
    path = tmp_path / "arrays"
    path.write_bytes(pickle.dumps(ARRAYS, protocol=3).replace(b"numpy._core.multiarray", spelling))
    assert spelling in path.read_bytes()
    read = read_arrays(path)
    np.testing.assert_array_equal(read["net"]["kernel"], ARRAYS["net"]["kernel"])
    np.testing.assert_array_equal(read["net"]["bias"], ARRAYS["net"]["bias"])


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", [os.system, eval, np.fromfile])
def test_a_pickle_that_names_anything_else_is_refused_and_not_run(
    tmp_path: Path, function: Any, protocol: int
) -> None:
    path, trace = tmp_path / "hostile", tmp_path / "trace"
    argument = {os.system: f"touch {trace}", eval: f"open({str(trace)!r}, 'w')", np.fromfile: str(trace)}
    path.write_bytes(pickle.dumps({"kernel": Command(function, argument[function])}, protocol=protocol))
    with pytest.raises(UserError, match=rf"hostile contains \w+.{function.__name__}"):
        read_arrays(path)
    assert not trace.exists()
