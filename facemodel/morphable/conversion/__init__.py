"""From a foreign face model to this project's: alignment, outline, levels, colours, landmarks."""
