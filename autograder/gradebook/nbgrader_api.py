"""nbgrader's models, imported as fast as they can be."""

from autograder.notebook.slow_imports import without_url_grammar

with without_url_grammar():
    from nbgrader import api, dbutil

__all__ = ["api", "dbutil"]
