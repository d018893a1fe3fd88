"""What goes wrong through no fault of the program."""


class UserError(Exception):
    """A user's mistake: commands print it as one line on stderr and exit with 2.

    The message names the value and the way out.
    """
