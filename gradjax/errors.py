"""How gradjax refuses and how it stops: one exception, one line each."""


class Refusal(ValueError):
    """Bad input, named where it enters: the value, the bound and the fix, in one line.

    The command line prints it without a traceback and exits with code 2; in a
    notebook or a script it is an ordinary `ValueError`.
    """


class Interrupted(BaseException):
    """A signal asked for a stop, and what was begun is finished and kept.

    Not an `Exception`: as with `KeyboardInterrupt`, whoever catches everything lets it
    pass. The command line prints it without a traceback and exits with the signal's
    code.
    """

    def __init__(self, number: int, after: str) -> None:
        """Takes the signal's number and what was finished last."""
        super().__init__(f"stopped after {after}; the same command goes on")
        self.number = number
