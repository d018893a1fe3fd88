"""Seconds and peak memory of a command's phases, which its output separates."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Phase:
    """Time of one phase, that of all cores together, and the largest resident size until its end."""

    name: str
    seconds: float
    core_seconds: float
    peak_bytes: int

    def __str__(self) -> str:
        time = f"{self.seconds:.0f} s ({self.core_seconds:.0f} s of cores)"
        return f"{self.name}: {time}, peak {self.peak_bytes / 1e9:.1f} GB"


def watched(command: Sequence[str], ends: Mapping[str, str], last: str) -> list[Phase]:
    """Run ``command`` and return its phases; its output goes to stderr.

    Args:
        command: program and arguments.
        ends: name of a phase -> text on stderr or stdout that ends it, in order.
        last: name of the phase up to the end of the process.

    Raises:
        SystemExit: if the command fails, with its exit code.
    """
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    phases, coming, seen = list[Phase](), list(ends.items()), ""
    while chunk := os.read(process.stdout.fileno(), 1 << 16):
        sys.stderr.buffer.write(chunk)
        sys.stderr.flush()
        seen += chunk.decode(errors="replace")
        while coming and coming[0][1] in seen:
            name, end = coming.pop(0)
            seen = seen.partition(end)[2]
            phases.append(_phase(name, phases, time.monotonic() - started, *_spent(process.pid)))
    _, status, usage = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(code)
    spent = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    return [*phases, _phase(last, phases, time.monotonic() - started, *spent)]


def _phase(name: str, before: Sequence[Phase], seconds: float, core_seconds: float, peak: int) -> Phase:
    """Return the phase that ends at these totals of the process."""
    seconds -= sum(phase.seconds for phase in before)
    core_seconds -= sum(phase.core_seconds for phase in before)
    return Phase(name, seconds, core_seconds, peak)


def _spent(pid: int) -> tuple[float, int]:
    """Return the core seconds and the largest resident size of a running process, from Linux's /proc."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), int(kilobytes) * 1024
