"""Locks of folders against other processes; the system drops them when a process ends, however it ends."""

import fcntl
from typing import IO

from dcvsr.runtime.errors import UserError


def lock(handle: int | IO[str], in_use: str) -> None:
    """Lock an open file or folder against other processes until it is closed.

    On a file system without locks, such as some network file systems, this does nothing.

    Args:
        handle: the open file or folder.
        in_use: message of the error.

    Raises:
        UserError: if another process has locked it.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(in_use) from error
    except OSError:
        pass
