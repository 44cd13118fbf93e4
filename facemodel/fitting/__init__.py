"""From landmarks to a face: pose, crop and the best coefficients."""
