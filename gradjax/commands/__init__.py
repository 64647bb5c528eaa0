"""Commands: train a run or a sweep, show a lesson. Only this room imports absl."""
