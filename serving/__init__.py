"""What a user of the trained model touches: detection, reconstruction, mesh files."""
