"""One file per experiment, headed by its claim, cost, expected figure and command."""
