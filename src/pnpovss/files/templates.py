"""Pages from templates of this package: everything that is put into them is escaped, and nothing may be missing."""

from collections.abc import Callable
from typing import Any

__all__ = ["template"]


def template(package: str, name: str, **filters: Callable[..., Any]) -> Any:
    """A template of a package's folder `templates`; its `render` gives the page.

    Args:
        package: dotted name.
        name: of the file.
        filters: functions that the template calls by their names.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    return environment.get_template(name)
