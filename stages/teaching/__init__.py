"""What a trained model is taught further: to follow a context, and how its answers are held against expected ones."""
