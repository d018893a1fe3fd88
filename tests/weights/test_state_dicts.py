"""A network filled from a file, whoever saved it."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dcvsr.runtime.errors import UserError
from dcvsr.weights.state_dicts import fill


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.PReLU(2), nn.Conv2d(2, 1, 1))


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


STATE = network(1).state_dict()
OTHER = network(2).state_dict()


def under(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"params": STATE},
        {"params": OTHER, "params_ema": STATE},
        {"state_dict": under("generator_ema.", STATE) | under("generator.", OTHER), "meta": {"epoch": 3}},
    ],
)
def test_the_averaged_weights_are_found_where_each_keeps_them(tmp_path: Path, content: Any) -> None:
    filled = network(0)
    fill(filled, saved(tmp_path / "net.pth", content))
    for name, tensor in filled.state_dict().items():
        assert torch.equal(tensor, STATE[name])


def test_a_part_is_taken_by_its_prefix(tmp_path: Path) -> None:
    filled = network(0)
    fill(filled, saved(tmp_path / "net.pth", under("flow.", STATE) | under("rest.", OTHER)), prefix="flow.")
    assert torch.equal(filled.state_dict()["0.weight"], STATE["0.weight"])


def test_ncnns_arrays_go_to_the_layers_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "net.param").write_text(
        "7767517\n3 3\nConvolution a 1 1 x y 0=2 1=3 5=1 6=54\nPReLU b 1 1 y z 0=2\n"
        "Convolution c 1 1 z w 0=1 1=1 5=1 6=2\n"
    )
    parts = [(b"" if tensor.ndim == 1 else bytes(4)) + tensor.numpy().tobytes() for tensor in STATE.values()]
    (tmp_path / "net.bin").write_bytes(b"".join(parts))
    filled = network(0)
    fill(filled, tmp_path / "net.bin")
    for name, tensor in filled.state_dict().items():
        assert torch.equal(tensor, STATE[name])
    with pytest.raises(UserError, match=r"net.bin holds 5 arrays, not the 2 of Conv2d"):
        fill(nn.Conv2d(3, 2, 3), tmp_path / "net.bin")


def test_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", {"params": dict(list(STATE.items())[:-1])})
    with pytest.raises(
        UserError, match=r"net.pth holds another network than Sequential: .*2\.bias"
    ) as refusal:
        fill(network(0), path)
    assert "\n" not in str(refusal.value)


class Command:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", {"params": STATE, "more": Command(tmp_path / "trace")})
    with pytest.raises(UserError, match=r"net.pth is not a weight file \(UnpicklingError\)"):
        fill(network(0), path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_file_that_is_not_a_weight_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(UserError, match="is not a weight file"):
        fill(network(0), tmp_path / "net.pth")
