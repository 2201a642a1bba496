"""The commands: what is asked, what is printed, and the exit codes. They hold no logic."""
