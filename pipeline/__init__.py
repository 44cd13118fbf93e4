"""Command line, evaluation and pipelines: the layer that knows both components and serving."""
