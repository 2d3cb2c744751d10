"""Learning from few labels: arrays in, arrays out. NumPy and scikit-learn; no files, network or clock."""
