"""Finding faces and their landmarks in photos."""
