"""HTML pages that need no other file."""

from pathlib import Path

import jinja2


def render(template, **values):
    """The text of a page.

    Args:
        template: path. Of a Jinja template, which may extend `base.html`.
        **values: what the template shows; text is escaped, unless it is `Markup`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**values)
