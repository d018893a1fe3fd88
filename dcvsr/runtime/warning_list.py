"""Record of the warnings that a command prints, for its report."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _List(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.__dict__.setdefault("is_repeated", message in self.messages):
            return
        self.messages.append(message)


@contextmanager
def warning_list() -> Iterator[list[str]]:
    """Collect and print what loggers of dcvsr warn of inside the block, each message once, in order."""
    collected, logger, printed = _List(), logging.getLogger("dcvsr"), logging.getLogger().handlers[:]
    logger.addHandler(collected)
    for handler in printed:  # a record reaches them after the handler of its nearer logger
        handler.addFilter(_is_new)
    try:
        yield collected.messages
    finally:
        logger.removeHandler(collected)
        for handler in printed:
            handler.removeFilter(_is_new)


def _is_new(record: logging.LogRecord) -> bool:
    return not getattr(record, "is_repeated", False)
