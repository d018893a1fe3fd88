"""Attention processors for diffusers' U-Nets: its modules hold the weights, the processors the algorithm.

SVD's blocks drop ``cross_attention_kwargs``, so a context variable carries the settings of an evaluation to
its layers. Tiles that run side by side have separate contexts.

Axes: m tiles, f frames, h heads, p positions, d channels per head.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from diffusers.models.attention_processor import Attention
from einops import rearrange
from torch import Tensor, nn

from dcvsr.attention.exchange import Propagate, alone
from dcvsr.attention.layer_names import mid_layer, propagated_layers, stages
from dcvsr.attention.observer import NOBODY, Observer, Place
from dcvsr.attention.self_attention import Attend, self_attention


@dataclass(frozen=True)
class Call:
    """Settings of one U-Net evaluation for its attention layers; the defaults change nothing.

    Attributes:
        propagate: merges keys and values in the first two and last two layers.
        attend: function of these layers: Eq. (1), Eq. (7), or V for PAG.
        mid: function of the mid block's layer; None for Eq. (1).
        place, observer: passed to observers.
        stage_done: called after each residual block and attention stage.
    """

    propagate: Propagate = alone
    attend: Attend = self_attention
    mid: Attend | None = None
    place: Place | None = None
    observer: Observer = NOBODY
    stage_done: Callable[[], object] = lambda: None


_CALL: ContextVar[Call] = ContextVar("call", default=Call())  # noqa: B039, it is frozen


@contextmanager
def calling(call: Call) -> Iterator[None]:
    """Apply ``call`` to the evaluations inside the context."""
    token = _CALL.set(call)
    try:
        yield
    finally:
        _CALL.reset(token)


@contextmanager
def propagated(unet: nn.Module) -> Iterator[None]:
    """Install our processors in four layers and the mid block, and hooks of progress; undone on exit."""
    four, mid = propagated_layers(unet), mid_layer(unet)
    layers: dict[str, Attention] = {name: unet.get_submodule(name) for name in {*four, mid}}  # type: ignore
    before = {name: layer.processor for name, layer in layers.items()}
    for name, layer in layers.items():
        layer.set_processor(PropagatedAttention(name, name in four, name == mid))  # type: ignore[arg-type]
    hooks = [unet.get_submodule(name).register_forward_hook(_stage_done) for name in stages(unet)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for name, layer in layers.items():
            layer.set_processor(before[name])  # type: ignore[arg-type]


def _stage_done(*_: object) -> None:
    _CALL.get().stage_done()


@dataclass(frozen=True)
class PropagatedAttention:
    """Attention processor for self-attention within a frame, with propagated keys: Eqs. (1), (2), (7)."""

    layer: str
    propagates: bool
    mid: bool

    def __call__(self, attn: Attention, hidden_states: Tensor, *_: object, **__: object) -> Tensor:
        """Compute the output of hidden states ``(m f) p c``, as diffusers' AttnProcessor2_0 does."""
        call = _CALL.get()
        tiles = len(call.place.tiles) if call.place else 1
        projections: list[nn.Module] = [attn.to_q, attn.to_k, attn.to_v]  # type: ignore[list-item]
        q, k, v = (
            rearrange(project(hidden_states), "(m f) p (h d) -> m f h p d", m=tiles, h=attn.heads)
            for project in projections
        )
        attend = call.attend if self.propagates else self_attention
        if self.propagates:
            k, v = call.propagate(self.layer, k, v)
            if call.place:
                call.observer.attended(call.place, self.layer, q, k)
        if self.mid and call.mid:
            attend = call.mid
        out = rearrange(attend(q, k, v), "m f h p d -> (m f) p (h d)").to(q.dtype)
        to_out, dropout = attn.to_out  # type: ignore[misc]
        return dropout(to_out(out))
