"""What ran: history, lineage, outcome and where the files are."""
