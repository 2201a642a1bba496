"""What the rules of C4 look for in a line."""

ENDS = (".", "!", "?", '"', "'")
QUOTES = "”’»」』"  # of other scripts, behind the mark of a sentence's end
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CITATION = r"\[\d*\]|\[edit\]|\[citation needed\]"
LOREM, SCRIPT = "lorem ipsum", "javascript"
