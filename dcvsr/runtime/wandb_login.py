"""Weights & Biases online: a check before the work, and errors of one line.

Importing this module does not import wandb.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dcvsr.runtime.errors import UserError

TIMEOUT = 20
"""Seconds for an answer of wandb's server."""


def require_login(logger: Mapping[str, Any] | None) -> None:
    """Check that wandb's server answers and takes the key, if ``logger`` is wandb's and online.

    Args:
        logger: configuration of a logger; None if there is none.

    Raises:
        UserError: if there is no key, or the server does not answer or refuses the key.
    """
    if not _is_online(logger):
        return
    import wandb
    from wandb.errors import UsageError

    with wandb_errors():
        try:
            wandb.Api(timeout=TIMEOUT)
        except UsageError as error:
            raise UserError("wandb has no key: wandb login, or wandb=offline") from error


@contextmanager
def wandb_errors(way_out: str = "check the network and the key, or use wandb=offline") -> Iterator[None]:
    """Turn wandb's errors into a `UserError` of one line that ends with ``way_out``."""
    from wandb.errors import Error

    try:
        yield
    except Error as error:
        raise UserError(f"wandb: {str(error).splitlines()[0].rstrip('.')}; {way_out}") from error


def _is_online(logger: Mapping[str, Any] | None) -> bool:
    """Return True unless nothing is sent: wandb reads ``WANDB_MODE`` too."""
    if logger is None or "project" not in logger or logger.get("offline"):
        return False
    return os.environ.get("WANDB_MODE", "online") not in ("offline", "dryrun", "disabled")
