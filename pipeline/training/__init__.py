"""Training from the command line: train, refit, change of basis."""
