"""Local runs: history, lineage, outcome and their files."""
