"""Using a trained model: photos to files, and serving."""
