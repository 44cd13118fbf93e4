"""Random labelled photos: recipes, scenes and what a camera makes of them."""
