"""Translation without pairs: exemplars of other languages in a prompt, and the checks of what a model made of it."""
