"""The error class of user mistakes."""


class UserError(Exception):
    """User mistake; commands print it as one line on stderr and exit with code 2.

    The message names the value and the way out.
    """


GOES_ON = "nothing is lost, the same command goes on from here"
"""Way out of errors after which a job can be resumed."""
