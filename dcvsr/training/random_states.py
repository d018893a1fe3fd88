"""States of the global random generators of all processes, as plain values of a checkpoint."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

States = dict[str, Any]


def random_states() -> list[States]:
    """Return the states of each process; all processes call this together."""
    name, keys, *rest = np.random.get_state()
    own: States = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        own["cuda"] = torch.cuda.get_rng_state()
    if not (dist.is_available() and dist.is_initialized()):
        return [own]
    states: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(states, own)
    return states


def restore_random_states(states: Sequence[States], rank: int) -> None:
    """Set the generators of process ``rank`` to its states."""
    own = states[rank]
    random.setstate(own["python"])
    name, keys, *rest = own["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(own["torch"].cpu())
    if "cuda" in own and torch.cuda.is_available():
        torch.cuda.set_rng_state(own["cuda"].cpu())
