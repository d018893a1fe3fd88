"""DOVER's technical backbone: Swin-T in three dimensions (Liu et al. 2022) on patches of 2x4x4 pixels.

Its first three stages have FAST-VQA's gated position bias (Wu et al. 2022). Parameters have their official
names; dropout and stochastic depth, idle in scoring, are left out.

Axes: b clips; t h w tokens in time and space; c channels; n windows of a clip; p, q tokens of one; k heads.
"""

from collections import OrderedDict
from math import prod

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from dcvsr.metrics.swin3d_windows import SHIFT, STILL, WINDOW, Axes, Windows, padding, relative_position_index

PATCH = (2, 4, 4)
WIDTHS, DEPTHS, HEADS = (96, 192, 384, 768), (2, 2, 6, 2), (3, 6, 12, 24)


class Swin3D(nn.Module):
    """Features of clips, ``b 3 t h w`` -> ``b 768 t/2 h/32 w/32``, rounded up: zeros are added."""

    def __init__(self) -> None:
        super().__init__()
        attentions = [GatedWindowAttention] * 3 + [WindowAttention]
        mergings = [*(PatchMerging(width) for width in WIDTHS[:-1]), nn.Identity()]
        self.patch_embed = PatchEmbedding(WIDTHS[0])
        self.layers = nn.Sequential(*map(_stage, WIDTHS, DEPTHS, HEADS, attentions, mergings))
        self.norm = nn.LayerNorm(WIDTHS[-1])

    def forward(self, clips: Tensor) -> Tensor:
        return rearrange(self.norm(self.layers(self.patch_embed(clips))), "b t h w c -> b c t h w")


class PatchEmbedding(nn.Module):
    """Patches as tokens: ``b c t h w`` of pixels -> ``b t h w c``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, width, PATCH, PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, clips: Tensor) -> Tensor:
        x = self.proj(F.pad(clips, padding(clips.shape[2:], PATCH)))
        return self.norm(rearrange(x, "b c t h w -> b t h w c"))


class PatchMerging(nn.Module):
    """Four neighbouring tokens as one, twice as wide: ``b t h w c`` -> ``b t h/2 w/2 c``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, *padding(x.shape[1:4], (1, 2, 2))))
        return self.reduction(self.norm(rearrange(x, "b t (h i) (w j) c -> b t h w (j i c)", i=2, j=2)))


class SwinBlock(nn.Module):
    """Attention within windows, then a perceptron on each token: ``b t h w c`` -> ``b t h w c``."""

    def __init__(self, width: int, shift: Axes, attention: "WindowAttention") -> None:
        super().__init__()
        self.shift = shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = attention
        fc1, fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.mlp = nn.Sequential(OrderedDict(fc1=fc1, act=nn.GELU(), fc2=fc2))

    def forward(self, x: Tensor) -> Tensor:
        windows = Windows.over(x, self.shift)
        x = x + windows.join(self.attn(windows.split(self.norm1(x)), windows))
        return x + self.mlp(self.norm2(x))


class WindowAttention(nn.Module):
    """Self-attention among the tokens of a window, with a bias learnt for each relative position."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(_table(heads))
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", relative_position_index())
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, windows: Windows) -> Tensor:
        """``b n p c`` -> ``b n p c``."""
        qkv = rearrange(self.qkv(tokens), "b n p (three k c) -> three b n k p c", three=3, k=self.heads)
        bias = self.bias(windows) + windows.seam_mask(tokens.device)[:, None]
        # Clip by clip: the fused kernel takes one batch axis, and the bias is that of every clip.
        x = torch.stack([F.scaled_dot_product_attention(*clip, attn_mask=bias) for clip in qkv.unbind(1)])
        return self.proj(rearrange(x, "b n k p c -> b n p (k c)"))

    def bias(self, windows: Windows) -> Tensor:
        """Added to the scores before softmax: ``n k p q``, or what broadcasts to it."""
        return self._of_pairs(self.relative_position_bias_table, windows)

    def _of_pairs(self, table: Tensor, windows: Windows) -> Tensor:
        # A cut window takes the first rows and columns of the whole one's index, as in the authors' code.
        tokens = prod(windows.window)
        return rearrange(table[self.relative_position_index[:tokens, :tokens]], "p q k -> k p q")


class GatedWindowAttention(WindowAttention):
    """With a second table, for pairs of tokens within one fragment of the mosaic."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.fragment_position_bias_table = nn.Parameter(_table(heads))

    def bias(self, windows: Windows) -> Tensor:
        """FAST-VQA's gated relative position bias: one table within a fragment, the other across two.

        The gate of the paper is 0 or 1. That of the released network, which was trained with it, is the
        distance in fragments: beyond neighbours it extrapolates.
        """
        within = self._of_pairs(self.fragment_position_bias_table, windows)
        across = self._of_pairs(self.relative_position_bias_table, windows)
        return torch.lerp(within, across, windows.fragment_distance(within.device)[:, None])


def _stage(
    width: int, depth: int, heads: int, attention: type[WindowAttention], merging: nn.Module
) -> nn.Module:
    """Blocks at one resolution, every second one with its windows shifted by half."""
    shifts = [SHIFT if i % 2 else STILL for i in range(depth)]
    blocks = nn.Sequential(*(SwinBlock(width, shift, attention(width, heads)) for shift in shifts))
    return nn.Sequential(OrderedDict(blocks=blocks, downsample=merging))


def _table(heads: int) -> Tensor:
    t, h, w = (2 * side - 1 for side in WINDOW)
    return torch.zeros(t * h * w, heads)
