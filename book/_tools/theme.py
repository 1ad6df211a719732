"""Sphinx extension that mends what the theme and its companions add to each page."""

TOGGLE = '<summary aria-label="Pages of this section">'


def setup(app):
    app.connect("config-inited", without_thebe)
    app.connect("html-page-context", named_toggles, priority=900)  # after the theme's own
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def without_thebe(app, config):
    """Keep thebe, which no page uses, from adding its script: it is added twice and fails."""
    listeners = app.events.listeners["env-before-read-docs"]
    listeners[:] = [one for one in listeners if one.handler.__name__ != "init_thebe_core"]


def named_toggles(app, pagename, templatename, context, doctree):
    """Give the sidebar's toggles a name for screen readers."""
    draw = context.get("generate_toctree_html")
    if draw:
        context["generate_toctree_html"] = lambda *arguments, **options: str(
            draw(*arguments, **options)
        ).replace("<summary>", TOGGLE)
