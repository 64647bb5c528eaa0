"""What a command line does: train, sweep, show a lesson. Only this room knows absl."""
