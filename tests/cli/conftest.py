"""A program to call, with a model whose attention is set by hand."""

from tests.support.program_fixtures import call, photo

__all__ = ["call", "photo"]
