"""Tasks that a model answers from what stands before the question: DCLM's CORE and EXTENDED, run by lm-eval."""
