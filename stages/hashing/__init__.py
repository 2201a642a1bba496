"""From a column of text to hashes of its words: what dedup, line dedup and decontamination compare."""
