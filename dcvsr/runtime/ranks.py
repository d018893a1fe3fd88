"""Processes that share one job: started by torchrun, rank 0 leads.

Values that travel are nested dicts, lists and tuples of tensors and plain values. Only tensors count as
bytes.
"""

import logging
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, repeat
from typing import Any

import torch
from torch import Tensor, distributed

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.watch import SILENCE, Watch


@dataclass
class Ranks:
    """This process among those of a job.

    Attributes:
        number, count: rank from 0, and number of ranks.
        device: of what is sent: the GPU with NCCL, the CPU with gloo.
        received: bytes of the tensors that this rank received from others.
        watch: what ends this rank when another one dies; None for a rank alone.
    """

    number: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    received: int = 0
    watch: Watch | None = None

    def __post_init__(self) -> None:
        self._background = ThreadPoolExecutor(1)
        self._stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    @property
    def others(self) -> range:
        """Ranks that the leader leads."""
        return range(1, self.count)

    def tell(self, value: Any) -> None:
        """Send a value to all other ranks, which wait in ``told``."""
        if self.count > 1:
            with self._connected():
                about, content = _packed(value, self.device)
                distributed.broadcast_object_list([about], src=0, device=self.device)
                if len(content):
                    distributed.broadcast(content, src=0)

    def told(self) -> Any:
        """Return what the leader tells."""
        with self._connected():
            found: list[Any] = [None]
            distributed.broadcast_object_list(found, src=0, device=self.device)
            content = self._room(found[0])
            if len(content):
                distributed.broadcast(content, src=0)
        return _unpacked(found[0], content)

    def send(self, value: Any, to: int) -> None:
        """Send a value to one rank, which waits in ``receive``."""
        with self._connected():
            about, content = _packed(value, self.device)
            distributed.send_object_list([about], dst=to, device=self.device)
            if len(content):
                distributed.send(content, dst=to)

    def receive(self, source: int) -> Any:
        """Return what a rank sends."""
        with self._connected():
            found: list[Any] = [None]
            distributed.recv_object_list(found, src=source, device=self.device)
            content = self._room(found[0])
            if len(content):
                distributed.recv(content, src=source)
        return _unpacked(found[0], content)

    def exchange(self, value: Any) -> list[Any]:
        """Return the values of all ranks in their order; each rank gives one."""
        return self.exchange_each(iter([value]), 1)[0]

    def exchange_each(self, values: Iterator[Any], most: int) -> list[list[Any]]:
        """Return the n-th values of all ranks for each n: one all-gather each, while the next is computed.

        Args:
            values: of this rank, computed as they are asked for.
            most: number of values of the rank that has most; others give None for what they lack.
        """
        if self.count == 1:
            return [[value] for value in values]
        each = chain(values, repeat(None))
        pending = [self._begin_gather(next(each)) for _ in range(most)]
        with self._connected():
            gathered = [gather.result() for gather in pending]
        if self._stream:
            torch.cuda.current_stream().wait_stream(self._stream)
        self.received += sum(size for about, _ in gathered for _, size in about)
        self.received -= sum(about[self.number][1] for about, _ in gathered)
        return [[_unpacked(*one) for one in zip(*every, strict=True)] for every in gathered]

    def _begin_gather(self, value: Any) -> Future[tuple[list[tuple[bytes, int]], list[Tensor]]]:
        """Gather packed values of all ranks in the background: on a GPU in a stream of its own."""
        own, content = _packed(value, self.device)
        stream = self._stream
        packed = torch.cuda.current_stream().record_event() if stream else None

        def gather() -> tuple[list[tuple[bytes, int]], list[Tensor]]:
            with torch.cuda.stream(stream) if stream else nullcontext():
                if stream and packed:
                    stream.wait_event(packed)
                    content.record_stream(stream)  # else it could be freed before it is read
                about: list[Any] = [None] * self.count
                distributed.all_gather_object(about, own)
                longest = max(size for _, size in about)
                padded = torch.cat([content, content.new_zeros(longest - len(content))])
                received = [torch.empty_like(padded) for _ in about]
                if longest:
                    distributed.all_gather(received, padded)
            return about, received

        return self._background.submit(gather)

    def _room(self, about: tuple[bytes, int]) -> Tensor:
        self.received += about[1]
        return torch.empty(about[1], dtype=torch.uint8, device=self.device)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError:  # of a backend that lost its peer
            if self.watch:
                self.watch.end("another rank ended")
            raise


ALONE = Ranks()
"""The only process of its job."""


@dataclass(frozen=True)
class _Slot:
    """Place of a tensor in the content."""

    shape: Sequence[int]
    dtype: torch.dtype
    start: int
    stop: int


def _packed(value: Any, device: torch.device) -> tuple[tuple[bytes, int], Tensor]:
    """Return a value without its tensors and the size of these, then their bytes, ``n``."""
    parts: list[Tensor] = []

    def slot(tensor: Tensor) -> _Slot:
        content = tensor.detach().to(device).contiguous().flatten().view(torch.uint8)
        start = sum(map(len, parts))
        parts.append(content)
        return _Slot(tensor.shape, tensor.dtype, start, start + len(content))

    about = _each(value, Tensor, slot)
    content = torch.cat(parts) if parts else torch.empty(0, dtype=torch.uint8, device=device)
    return (pickle.dumps(about), len(content)), content


def _unpacked(about: tuple[bytes, int], content: Tensor) -> Any:
    def tensor(slot: _Slot) -> Tensor:
        return content[slot.start : slot.stop].clone().view(slot.dtype).view(slot.shape)

    return _each(pickle.loads(about[0]), _Slot, tensor)


def _each(value: Any, kind: type, change: Any) -> Any:
    """Replace the leaves of one kind in nested dicts, lists and tuples."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each(part, kind, change) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_each(part, kind, change) for part in value)
    return value


def started(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of processes that torchrun started for this job."""
    return int(environment.get("WORLD_SIZE") or 1) if "RANK" in environment else 1


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the ranks that torchrun started, or be alone.

    Args:
        device: ``cuda`` or ``cpu``; each rank of a machine takes its own GPU.

    Raises:
        UserError: if the environment is not that of torchrun, or a rank has no GPU for itself.
    """
    if started() == 1:
        yield ALONE
        return
    needed = "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"
    if missing := [name for name in needed if name not in os.environ]:
        raise UserError(f"WORLD_SIZE is set, but {', '.join(missing)} is missing; start it with torchrun")
    number, count, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if number:
        logging.getLogger().setLevel(logging.WARNING)  # the leader tells the rest
    on_gpu = device == "cuda"
    if on_gpu:
        if local >= torch.cuda.device_count():
            raise UserError(
                f"process {local + 1} of a machine with {torch.cuda.device_count()} GPUs has none"
            )
        torch.cuda.set_device(local)
    store, *_ = next(distributed.rendezvous("env://"))
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    own = distributed.TCPStore(address, port, is_master=False, timeout=timedelta(seconds=SILENCE))
    # Before the group, since a rank may die while it is made.
    watch = Watch(distributed.PrefixStore("watch", own), number, count)
    settings = {"store": distributed.PrefixStore("group", store), "rank": number, "world_size": count}
    # Its timeout is no sign of death: a rank may wait long for one that computes.
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(days=7), **settings)
    ranks = Ranks(number, count, torch.device("cuda", local) if on_gpu else torch.device("cpu"), 0, watch)
    try:
        yield ranks
    except BaseException:
        watch.leave("failed")
        raise
    watch.leave("done")
    distributed.destroy_process_group()
