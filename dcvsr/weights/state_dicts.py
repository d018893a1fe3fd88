"""Loading of network weights saved by different frameworks; nothing in the file is executed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcvsr.runtime.errors import UserError
from dcvsr.weights.ncnn import read_ncnn

if TYPE_CHECKING:
    from torch import nn

SAVED_AS = ("params_ema", "params", "state_dict")
"""Keys of averaged and plain weights in basicsr's files, and of all weights in OpenMMLab's."""

AVERAGED = "generator_ema."
"""Prefix of the averaged network in OpenMMLab's files."""


def fill(network: "nn.Module", path: Path, prefix: str = "") -> None:
    """Load every tensor of ``path``, a torch file or ncnn's ``.bin``, into ``network``.

    Args:
        network: the network to fill.
        path: the weight file.
        prefix: load only names with this prefix, and remove it.

    Raises:
        UserError: if the file is not a weight file, or holds another network.
    """
    state = _ncnn(network, path) if path.suffix == ".bin" else _torch(path)
    try:
        network.load_state_dict(
            {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{path} holds another network than {type(network).__name__}: {reason}") from error


def _torch(path: Path) -> dict[str, Any]:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = next((content[key] for key in SAVED_AS if key in content), content)
        averaged = {key: state[key] for key in state if key.startswith(AVERAGED)}
    except Exception as error:  # torch.load raises many types
        raise UserError(f"{path} is not a weight file ({type(error).__name__})") from error
    return {key.removeprefix(AVERAGED): value for key, value in averaged.items()} or state


def _ncnn(network: "nn.Module", path: Path) -> dict[str, Any]:
    """Name the arrays of ncnn's files, which have none: both sides list layers in execution order."""
    import torch

    arrays, state = read_ncnn(path), network.state_dict()
    shapes = [array.shape for array in arrays], [tuple(tensor.shape) for tensor in state.values()]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"{path} holds {len(arrays)} arrays, not the {len(state)} of {type(network).__name__}, or of "
            "other sizes"
        )
    return dict(zip(state, map(torch.from_numpy, arrays), strict=True))
