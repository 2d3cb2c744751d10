"""What every room stands on: settings, errors, the clock, logs, databases, processes."""
