"""What the engine costs beside the work that it organises, and what columns beside the text save."""
