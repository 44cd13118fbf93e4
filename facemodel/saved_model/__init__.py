"""The served graph: export, signatures and what a SavedModel says about itself."""
