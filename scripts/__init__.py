"""Commands, run with `python -m scripts.<name>`."""
