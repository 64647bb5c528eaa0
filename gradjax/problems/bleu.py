"""BLEU of translations, as papers report it."""

from collections.abc import Sequence
from typing import Any

from gradjax.errors import Refusal


def score(found: Sequence[str], expected: Sequence[str]) -> tuple[float, str]:
    """BLEU of translations against one reference each, and sacrebleu's signature.

    Post, "A Call for Clarity in Reporting BLEU Scores", 2018.

    Raises:
      Refusal: there is no `sacrebleu`.
    """
    measure = package().BLEU()
    value = measure.corpus_score(list(found), [list(expected)]).score
    return float(value), str(measure.get_signature())


def package() -> Any:
    """The package sacrebleu, imported only where it is needed.

    Raises:
      Refusal: it is not installed.
    """
    try:
        import sacrebleu
    except ImportError as error:
        raise Refusal(
            "BLEU needs the package sacrebleu: pip install 'gradjax[text]'"
        ) from error
    return sacrebleu
