"""What all packages use: settings, errors, the clock, logs, databases, processes."""
