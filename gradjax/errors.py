"""The two exceptions of gradjax: `Refusal` for bad input, `Interrupted` for a signal.

The message of each is one line.
"""


class Refusal(ValueError):
    """Reports bad input in one line: the value, the bound and the fix.

    It is raised where the input enters. The command line prints it without a traceback
    and exits with code 2; in a notebook or a script it is an ordinary `ValueError`.
    """

    def __init__(self, message: str) -> None:
        """Stores the message; line breaks, as numpy prints them, become spaces."""
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


class Interrupted(BaseException):
    """Reports that a signal stopped the process after the current work was stored.

    Like `KeyboardInterrupt` it is not an `Exception`, so that `except Exception` does
    not catch it. The command line prints it without a traceback and exits with the code
    of the signal.
    """

    def __init__(self, number: int, after: str) -> None:
        """Stores the signal's number; `after` names the work that was finished last."""
        super().__init__(f"stopped after {after}; the same command goes on")
        self.number = number
