"""What a person reads: progress while it runs, the summary and its table after."""
