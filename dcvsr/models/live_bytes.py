"""Counting of the bytes that tensors occupy, operation by operation, on meta tensors or real ones."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import torch
from greenlet import greenlet
from torch import Tensor
from torch._C import DispatchKey
from torch.utils._python_dispatch import TorchDispatchMode

from dcvsr.models.operations import SHAPE_KEPT

aten = torch.ops.aten

_LOWERED = {aten.linear, aten.matmul, aten.mm, aten.bmm, aten.addmm, aten.baddbmm,
            aten.conv1d, aten.conv2d, aten.conv3d, aten.scaled_dot_product_attention}  # fmt: skip
"""Operations that autocast runs in the lower precision."""
_RAISED = {aten.group_norm, aten.layer_norm, aten.softmax, aten.exp, aten.pow, aten.rsqrt, aten.sum}
"""Operations that autocast runs in float32 on a GPU; a CPU runs them in the precision of their input."""


class LiveBytes(TorchDispatchMode):
    """Recorder of the bytes that live tensors occupy, by owner, and of the peak of one owner.

    A storage counts from its creation until the last tensor that uses it is gone. An owner is any number that
    the caller gives to the code that runs.

    On meta tensors the recorder does what kernels and autocast do on ``device``:

    - Fused attention has no matrix of scores; torch's meta kernel would make one.
    - A convolution needs its input and its weights once more, in the memory format of its library, and while
      it copies the result, the result once more. oneDNN and cuDNN do so.
    - Autocast does not act on meta tensors; the recorder casts them to ``precision`` in its place.

    Args:
        known: tensors that do not count, such as weights.
        device: ``cpu`` or ``cuda``.
        precision: dtype of autocast; float32 for none.
    """

    def __init__(self, known: Iterable[Tensor], device: str, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.precision = precision
        self.owner, self.peak = 0, 0
        self.live: Counter[int] = Counter()
        self._raised = _RAISED if device == "cuda" else set()
        self._kept = list(known)
        self._seen = {id(tensor.untyped_storage()) for tensor in self._kept}

    @contextmanager
    def running(self, owner: int) -> Iterator[None]:
        """Count new storages as those of ``owner``, and its peak in ``peak``."""
        before, self.owner, self.peak = self.owner, owner, self.live[owner]
        yield
        self.owner = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options, packet = kwargs or {}, func._overloadpacket
        if self.precision != torch.float32:
            args = self._autocast(packet, args)
        result = self._run(func, packet, args, options)
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        new = sum(self._count(output) for output in outputs if isinstance(output, Tensor))
        if packet is aten.convolution:
            x, weight = args[:2]
            again = max(x.nbytes + weight.nbytes, new) + (0 if x.is_contiguous() else x.nbytes)
            self.peak = max(self.peak, self.live[self.owner] + again)
        return result

    def _run(self, func: Any, packet: Any, args: Any, options: Any) -> Any:
        on_meta = isinstance(args[0], Tensor) and args[0].is_meta if args else False
        if on_meta and (outputs := SHAPE_KEPT.get(func)):  # their meta kernels are slow
            made = torch.empty_like(args[0], memory_format=torch.contiguous_format)
            return (made, *[made.new_empty(0)] * (outputs - 1)) if outputs > 1 else made
        if on_meta and packet is aten.scaled_dot_product_attention and args[0].ndim == 4:
            return _attention(*args[:3])
        if on_meta and packet is aten.linear and args[0].is_contiguous():  # saves a third of the operations
            return args[0].new_empty(*args[0].shape[:-1], len(args[1]))
        if _is_composite(func):
            with self:
                return func._op_dk(DispatchKey.CompositeImplicitAutograd, *args, **options)
        return func(*args, **options)

    def _autocast(self, packet: Any, args: Any) -> Any:
        if packet in _LOWERED:
            return self._cast(args, self.precision, torch.float32)
        if packet in self._raised:
            return self._cast(args, torch.float32, self.precision)
        return args

    def _cast(self, args: Any, dtype: torch.dtype, source: torch.dtype) -> Any:
        with self:
            return tuple(
                arg.to(dtype) if isinstance(arg, Tensor) and arg.is_meta and arg.dtype == source else arg
                for arg in args
            )

    def _count(self, tensor: Tensor) -> int:
        """Count the storage of ``tensor`` if it is new, and return its bytes, else 0."""
        storage = tensor.untyped_storage()
        if (key := id(storage)) in self._seen:
            return 0
        self._seen.add(key)
        size = storage.nbytes()
        self.live[self.owner] += size
        self.peak = max(self.peak, self.live[self.owner])
        weakref.finalize(storage, self._released, key, self.owner, size).atexit = False
        return size

    def _released(self, key: int, owner: int, size: int) -> None:
        self._seen.discard(key)
        self.live[owner] -= size


_COMPOSITE: dict[Any, bool] = {}


def _is_composite(func: Any) -> bool:
    """Return True if torch runs ``func`` as a sequence of other operations."""
    if func not in _COMPOSITE:
        _COMPOSITE[func] = torch._C._dispatch_has_kernel_for_dispatch_key(
            func.name(), "CompositeImplicitAutograd"
        )
    return _COMPOSITE[func]


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return an output of fused attention: ``b h p d``, whose memory is in the order ``b p h d``."""
    batch, heads, positions, _ = q.shape
    return q.new_empty(batch, positions, heads, v.shape[-1]).transpose(1, 2)


def crowded(tasks: Sequence[Callable[[], object]], counts: Sequence[int], live: LiveBytes) -> int:
    """Return the peak bytes of `lockstep.side_by_side`, of ``counts[i]`` copies of each task; run one each.

    A task receives its own offer and those of the others as often as there are copies. While a copy runs from
    one meeting to the next, those before it have reached the next meeting, and those after it wait at the
    last one. ``live`` counts the bytes of task i as those of owner i, which keeps them between calls.
    """
    runners = [greenlet(task) for task in tasks]
    for runner in runners:
        runner.gr_context = copy_context()
    largest, answers = 0, tuple[Any, ...]()
    try:
        while not all(runner.dead for runner in runners):
            before, peaks, offers = [live.live[i] for i in range(len(tasks))], list[int](), list[Any]()
            for i, runner in enumerate(runners):
                with live.running(i):
                    offers.append(runner.switch(*answers))
                    peaks.append(live.peak)
            after = [live.live[i] for i in range(len(tasks))]
            for i, (number, highest) in enumerate(zip(counts, peaks, strict=True)):
                waiting = sum(n * size for n, size in zip(counts[:i], after[:i], strict=True))
                waiting += sum(n * size for n, size in zip(counts[i + 1 :], before[i + 1 :], strict=True))
                waiting += (number - 1) * max(before[i], after[i])
                largest = max(largest, waiting + highest)
            answers = ([offer for offer, n in zip(offers, counts, strict=True) for _ in range(n)],)
            del offers
        return largest
    finally:
        for runner in runners:
            runner.throw()
