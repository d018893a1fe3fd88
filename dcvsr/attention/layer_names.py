"""Which layers the method works on, found by name in any of diffusers' U-Nets.

They are the spatial self-attentions, ``attentions.*.transformer_blocks.*.attn1``, in the order in which they
are run.
"""

import re

from torch import nn

_SPATIAL = re.compile(r"\battentions\.\d+\.transformer_blocks\.\d+\.attn1$")
_STAGES = ("down_blocks", "mid_block", "up_blocks")


def spatial_self_attentions(unet: nn.Module) -> list[str]:
    """Names in execution order; the module tree lists the mid block after the up blocks."""
    names = [name for name, _ in unet.named_modules() if _SPATIAL.search(name)]
    return sorted(names, key=_execution_order)


def _execution_order(name: str) -> tuple[int, ...]:
    stage = _STAGES.index(name.partition(".")[0])
    return stage, *(int(number) for number in re.findall(r"\.(\d+)\.", name))


def propagated_layers(unet: nn.Module) -> list[str]:
    """The first two and last two spatial self-attentions, where SAP, TAP and DSSAG act (section 3.1).

    Raises:
        ValueError: if there are fewer than four.
    """
    names = spatial_self_attentions(unet)
    if len(names) < 4:
        raise ValueError(
            f"propagation needs four spatial self-attentions, this U-Net has {len(names)}: {names}"
        )
    return [*names[:2], *names[-2:]]


def mid_layer(unet: nn.Module) -> str:
    """The mid block's first, whose map SAG reads and which PAG perturbs.

    Raises:
        ValueError: if the mid block has none.
    """
    names = [name for name in spatial_self_attentions(unet) if name.startswith("mid_block")]
    if not names:
        raise ValueError("this U-Net's mid block has no spatial self-attention")
    return names[0]


def resolution(tokens: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a layer that sees a ``height`` x ``width`` latent, halved so often, as ``tokens``.

    Raises:
        ValueError: if no number of halvings gives ``tokens``.
    """
    rows, columns = height, width
    while rows * columns > tokens:
        rows, columns = -(-rows // 2), -(-columns // 2)
    if rows * columns != tokens:
        raise ValueError(f"{tokens} positions are no halving of a {height}x{width} latent")
    return rows, columns
