"""What stands between a rendered face and a photo of it."""
