"""Records of methods beside their controls: made by a command, kept as JSON, drawn as tables of the documentation."""
