"""Names of the layers that the method modifies, in any U-Net of diffusers.

The layers are the spatial self-attentions, ``attentions.*.transformer_blocks.*.attn1``, in execution order.
"""

import re

from torch import nn

_SPATIAL = re.compile(r"\battentions\.\d+\.transformer_blocks\.\d+\.attn1$")
_STAGE = re.compile(r"^[a-z_]+(\.\d+)?\.(resnets|attentions)\.\d+$")
_STAGES = ("down_blocks", "mid_block", "up_blocks")


def spatial_self_attentions(unet: nn.Module) -> list[str]:
    """Return the names in execution order; the module tree lists the mid block after the up blocks."""
    names = [name for name, _ in unet.named_modules() if _SPATIAL.search(name)]
    return sorted(names, key=_execution_order)


def _execution_order(name: str) -> tuple[int, ...]:
    stage = _STAGES.index(name.partition(".")[0])
    return stage, *(int(number) for number in re.findall(r"\.(\d+)\.", name))


def propagated_layers(unet: nn.Module) -> list[str]:
    """Return the first two and last two spatial self-attentions, where SAP, TAP and DSSAG act (section 3.1).

    Raises:
        ValueError: if there are fewer than four.
    """
    names = spatial_self_attentions(unet)
    if len(names) < 4:
        raise ValueError(
            f"propagation needs four spatial self-attentions, this U-Net has {len(names)}: {names}"
        )
    return [*names[:2], *names[-2:]]


def stages(unet: nn.Module) -> list[str]:
    """Return the names of the residual blocks and attention stages in execution order.

    Within a block they alternate, beginning with a residual block.
    """
    return sorted((name for name, _ in unet.named_modules() if _STAGE.search(name)), key=_execution_order)


def mid_layer(unet: nn.Module) -> str:
    """Return the mid block's first layer, whose attention map SAG reads and which PAG perturbs.

    Raises:
        ValueError: if the mid block has none.
    """
    names = [name for name in spatial_self_attentions(unet) if name.startswith("mid_block")]
    if not names:
        raise ValueError("this U-Net's mid block has no spatial self-attention")
    return names[0]


def resolution(tokens: int, height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of a layer with ``tokens`` positions in a ``height`` x ``width`` latent.

    Each downsampling block halves both sides, rounded up.

    Raises:
        ValueError: if no number of halvings gives ``tokens``.
    """
    rows, columns = height, width
    while rows * columns > tokens:
        rows, columns = -(-rows // 2), -(-columns // 2)
    if rows * columns != tokens:
        raise ValueError(
            f"{tokens} positions do not match a {height}x{width} latent halved any number of times"
        )
    return rows, columns
