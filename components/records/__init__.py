"""Beam and TFRecords: synthesis by workers, shards, and reading batches back."""
