"""One trial as pure functions: the step, the compiled loop around it, evaluation."""
