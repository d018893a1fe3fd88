"""Progress of Lightning's loops in a checkpoint."""

from typing import Any


def continue_after_step(checkpoint: dict[str, Any], accumulated: int) -> None:
    """Rewrite the counts in ``checkpoint``, so that a run continues after its last whole optimizer step.

    Lightning would continue where it was saved: within accumulated batches, whose gradients are lost, or at
    the end of the run. The number of batches per step may differ from that of the run before. The validation
    of the step counts as done, except where ``validation_due`` is true: then the run begins with it.

    Args:
        checkpoint: as Lightning dumps it; changed in place.
        accumulated: batches of an optimizer step of each process.
    """
    step = checkpoint["global_step"]
    loop = checkpoint["loops"]["fit_loop"]
    batches = step * accumulated
    counts = {"ready": batches, "started": batches, "processed": batches, "completed": batches - 1}
    loop["epoch_loop.batch_progress"] = {"total": counts, "current": counts.copy(), "is_last_batch": False}
    epochs = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    loop["epoch_progress"] = {"total": epochs, "current": epochs.copy()}
    due = bool(checkpoint.get("validation_due"))
    # Lightning adds 1, and after a validation with which a run begins another 1.
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] = step - 1 - due
    validated = loop["epoch_loop.val_loop.batch_progress"]
    for part in ("total", "current"):
        validated[part] = dict.fromkeys(validated[part], 0)
    validated["total"] |= {"ready": int(due), "started": int(due)}  # a validation that was begun
