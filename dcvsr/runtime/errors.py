"""The error class of user mistakes."""


class UserError(Exception):
    """User mistake; commands print it as one line on stderr and exit with code 2.

    The message names the value and the way out.
    """
