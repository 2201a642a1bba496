"""Small worlds made by rule, in which everything that a method claims can be counted. A recipe reads one as
`demo://coins`; `python -m recipes.worlds` writes their files anew.
"""
