"""Record of the warnings that a command prints, for its report."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _List(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if (message := record.getMessage()) not in self.messages:
            self.messages.append(message)


@contextmanager
def warning_list() -> Iterator[list[str]]:
    """Collect what loggers of dcvsr warn of inside the block, each message once, in order."""
    handler, logger = _List(), logging.getLogger("dcvsr")
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)
