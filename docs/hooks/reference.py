"""Adds the reference pages when mkdocs builds the site, so no copy of them can grow old."""

from mkdocs.structure.files import File

from siftloom import reference


def on_files(files, config):
    """Give mkdocs the generated pages."""
    for name, page in reference.PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files
