"""Curation against datatrove's filters, on pages of Debian packages in many languages."""
