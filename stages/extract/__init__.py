"""From pages to the text that people read on them."""
