"""How gradjax refuses: one exception, one line."""


class Refusal(ValueError):
    """Bad input, named where it enters: the value, the bound and the fix, in one line.

    The command line prints it without a traceback and exits with code 2; in a
    notebook or a script it is an ordinary `ValueError`.
    """
