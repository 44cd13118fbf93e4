"""Beam on Apache Spark: a cluster on this machine's loopback address, for `--beam` and tests.

It shows how the work is spread over executors and what happens when they are lost; a user's own
cluster takes its place with other options of Beam (docs/scaling.md). Works from a checkout only.
"""
