"""Watch of a rank over the others: it ends with them in one line."""

import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Any, NoReturn

BEAT = 1.0
"""Seconds between two signs of life of a rank."""
SILENCE = 12.0
"""Seconds without a sign after which a rank counts as dead."""


class Watch:
    """Ends this rank in one line when another rank dies, within half a minute.

    A rank may wait in a collective operation for one that is gone, where Python runs no handler of signals.
    So a thread gives signs of life through the store that torchrun keeps, looks for those of the others, and
    waits for SIGTERM, by which torchrun ends the other ranks. It belongs to the main thread.

    Args:
        store: shared by the ranks.
        number, count: as in `Ranks`.
    """

    def __init__(self, store: Any, number: int, count: int) -> None:
        self._store, self._number, self._count = store, number, count
        self._seen: dict[int, tuple[bytes, float]] = {}
        self._done = threading.Event()
        self._ends = threading.Lock()
        self._signals, written = socket.socketpair()
        written.setblocking(False)
        self._written = written
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def leave(self, reason: str) -> None:
        """Say how this rank ends: ``done`` or ``failed``."""
        signal.set_wakeup_fd(-1)
        self._done.set()
        self._thread.join()
        self._store.set(f"rank{self._number}", reason)

    def end(self, why: str) -> NoReturn:
        """End the process in one line."""
        self._ends.acquire()  # by the thread or by the main one, not by both
        here = f"rank {self._number} of {self._count}"
        line = f"dcvsr: {here}: {why}; the same command goes on from what is saved"
        print(line, file=sys.stderr, flush=True)
        os._exit(1)

    def _run(self) -> None:
        beat = 0
        while not self._done.is_set():
            beat += 1
            try:
                self._store.set(f"rank{self._number}", str(beat))
                signs = {rank: self._sign(rank) for rank in range(self._count) if rank != self._number}
            except RuntimeError:  # torch's DistNetworkError: the process that keeps the store is gone
                self.end("rank 0 or torchrun ended")
            for rank, sign in signs.items():
                if sign == b"failed" or time.monotonic() - self._since(rank, sign) > SILENCE:
                    self.end(f"rank {rank} ended")
            if select.select([self._signals], [], [], BEAT)[0] and signal.SIGTERM in self._signals.recv(64):
                self.end("another rank ended")

    def _sign(self, rank: int) -> bytes:
        return self._store.get(f"rank{rank}") if self._store.check([f"rank{rank}"]) else b""

    def _since(self, rank: int, sign: bytes) -> float:
        """Return since when a rank gives this sign; one that is done or has not begun is never silent."""
        now = time.monotonic()
        if rank not in self._seen or self._seen[rank][0] != sign or sign in (b"", b"done"):
            self._seen[rank] = sign, now
        return self._seen[rank][1]
