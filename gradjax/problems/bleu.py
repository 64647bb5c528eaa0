"""BLEU of translations, computed by sacrebleu as papers report it."""

from collections.abc import Sequence
from typing import Any

from gradjax.errors import Refusal


def score(found: Sequence[str], expected: Sequence[str]) -> tuple[float, str]:
    """Computes the BLEU of a corpus with one reference per translation.

    Args:
      found: the translations.
      expected: the references, in the same order.

    Returns:
      (BLEU from 0 to 100, the signature of sacrebleu).

    Raises:
      Refusal: `sacrebleu` is not installed.

    Source:
      Post, "A Call for Clarity in Reporting BLEU Scores", 2018.
    """
    measure = package().BLEU()
    value = measure.corpus_score(list(found), [list(expected)]).score
    return float(value), str(measure.get_signature())


def package() -> Any:
    """Imports the package sacrebleu.

    Raises:
      Refusal: the package is not installed.
    """
    try:
        import sacrebleu
    except ImportError as error:
        raise Refusal(
            "BLEU needs the package sacrebleu: pip install 'gradjax[text]'"
        ) from error
    return sacrebleu
