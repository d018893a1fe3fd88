"""A cache gives what would be made, to the last bit, whatever becomes of its files."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as np_st

from dcvsr.runtime.cache import SUFFIX, Cache, NoCache


class Making:
    """Makes a tensor, and counts how often."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor, self.count = tensor, 0

    def __call__(self) -> torch.Tensor:
        self.count += 1
        return self.tensor


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.uint8])
def test_cold_warm_and_no_cache_give_the_same_bits_in_the_same_layout(tmp_path, dtype):
    make = Making((100 * torch.randn(2, 3, 4)).to(dtype).permute(2, 0, 1))
    cold = Cache(tmp_path, 1)("x", {"a": 1}, make)
    warm = Cache(tmp_path, 1)("x", {"a": 1}, make)
    none = NoCache()("x", {"a": 1}, make)
    assert make.count == 2  # cold, and without
    for given_back in (cold, warm, none):
        assert given_back.dtype == dtype
        assert given_back.stride() == (6, 3, 1)
        assert torch.equal(given_back, make.tensor)
    assert warm.data_ptr() % 64 == torch.empty(9).data_ptr() % 64 == 0


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(np_st.arrays("float32", np_st.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
def test_any_tensor_comes_back_bit_for_bit(tmp_path, array):
    tensor = torch.from_numpy(array.copy())
    Cache(tmp_path, 1)("x", {"of": tensor}, lambda: tensor)
    back = Cache(tmp_path, 1)("x", {"of": tensor}, lambda: pytest.fail("made twice"))
    assert back.shape == tensor.shape
    assert torch.equal(back.view(torch.int32), tensor.view(torch.int32))  # nan and -0.0 too


def test_a_tensor_of_inference_mode_is_kept(tmp_path):
    with torch.inference_mode():
        cold = Cache(tmp_path, 1)("x", {}, lambda: torch.ones(3) * 2)
        warm = Cache(tmp_path, 1)("x", {}, lambda: pytest.fail("made twice"))
    assert torch.equal(cold, warm)


def test_another_name_other_parts_and_other_code_miss(tmp_path, monkeypatch):
    cache, make = Cache(tmp_path, 1), Making(torch.ones(1))
    cache("x", {"a": 1}, make)
    cache("y", {"a": 1}, make)
    cache("x", {"a": 2}, make)
    cache("x", {"b": 1}, make)
    monkeypatch.setattr("dcvsr.runtime.cache.software", lambda: {"dcvsr": "another"})
    cache("x", {"a": 1}, make)
    assert make.count == 5 == len(files(tmp_path))


DAMAGES = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "without an end": lambda content: content[:-1],
    "no safetensors": lambda content: b"\xff" * len(content),
    "a bit turned": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "zeros": lambda content: content[:-400] + bytes(400),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_anew_with_a_warning(tmp_path, caplog, damage):
    cache, make = Cache(tmp_path, 1), Making(torch.randn(100))
    cache("x", {}, make)
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    assert torch.equal(cache("x", {}, make), make.tensor)
    assert make.count == 2
    assert "damaged" in caplog.text
    assert file.read_bytes() == whole


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    cache, makes = Cache(tmp_path, 3.5 * 4096e-9), [Making(torch.full((1000,), float(i))) for i in range(4)]
    foreign = tmp_path / "model.safetensors"
    foreign.write_bytes(bytes(10_000))
    for i in (0, 1, 2):
        cache("x", {"i": i}, makes[i])
        newest = max(files(tmp_path), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (i, i))
    cache("x", {"i": 0}, makes[0])  # used again: 1 is the oldest now
    cache("x", {"i": 3}, makes[3])
    for i in (0, 2, 3):
        cache("x", {"i": i}, makes[i])
    assert [make.count for make in makes] == [1, 1, 1, 1]
    cache("x", {"i": 1}, makes[1])
    assert makes[1].count == 2
    assert foreign.exists()


def test_a_limit_below_one_file_still_gives_what_was_made(tmp_path):
    make = Making(torch.randn(100))
    assert torch.equal(Cache(tmp_path, 1e-9)("x", {}, make), make.tensor)
    assert not files(tmp_path)


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_is_none_is_refused(tmp_path, limit):
    with pytest.raises(ValueError, match="cache=none"):
        Cache(tmp_path, limit)


def test_a_full_disk_is_told_of_once_and_stops_nothing(tmp_path, caplog, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache, kept, make = Cache(tmp_path, 1), Making(torch.ones(2)), Making(torch.randn(5))
    cache("x", {"i": 0}, kept)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        for _ in range(3):
            assert torch.equal(cache("x", {"i": 1}, make), make.tensor)
    assert make.count == 3
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    assert torch.equal(cache("x", {"i": 0}, kept), kept.tensor)
    assert kept.count == 1  # what is there is still read
    assert files(tmp_path) == [*tmp_path.iterdir()]


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    make = Making(torch.ones(2))
    assert torch.equal(Cache(tmp_path / "file" / "cache", 1)("x", {}, make), make.tensor)
    assert "continuing without it" in caplog.text


def test_processes_that_make_the_same_at_once_leave_one_whole_file(tmp_path):
    """Each waits for the other in the middle of making, and both write."""
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        import torch
        from dcvsr.runtime.cache import Cache
        folder, me, other = Path(sys.argv[1]), *sys.argv[2:]
        cache = Cache(folder / "cache", 1)
        def make(i):
            (folder / f"{me}{i}").touch()
            while not (folder / f"{other}{i}").exists():
                time.sleep(0.001)
            return torch.full((200_000,), float(i))
        for i in range(5):
            assert (cache("x", {"i": i}, lambda: make(i)) == i).all()
        """
    )
    jobs = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), *pair])
        for pair in (("a", "b"), ("b", "a"))
    ]
    try:
        assert [job.wait() for job in jobs] == [0, 0]
    finally:
        for job in jobs:
            job.kill()
    assert len([*(tmp_path / "cache").iterdir()]) == 5
    for i in range(5):
        back = Cache(tmp_path / "cache", 1)("x", {"i": i}, lambda: pytest.fail("not stored"))
        assert (back == i).all()
