"""Puts Python for the browser, the package and the model into the site, under live/.

`docs/live/build.py` says what these are. It is run here so that whoever builds the site has them.
"""

import runpy
from pathlib import Path

BUILD = Path(__file__).parents[1] / "live" / "build.py"


def on_post_build(config, **_):
    """After the pages, which the theme has copied by now."""
    runpy.run_path(str(BUILD))["build"](Path(config.site_dir) / "live")
