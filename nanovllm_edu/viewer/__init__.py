"""The linked view: one ES module with its style sheet, and the page that shows it alone.

Used by the notebook widgets, the exported pages, the site and whatever serves a page next. It takes
plain dicts (docs/reference/recording_format.md) and imports nothing of this package.

Read in this order: `js/main.js`, where the view begins; `source.py`, which joins the modules;
`page.py`.
"""
