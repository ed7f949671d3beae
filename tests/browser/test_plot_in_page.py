"""A plot as an image, as JupyterLab shows it: it is dark where the page around it is."""

from base64 import b64encode
from io import BytesIO

import pytest
from PIL import Image

from nanovllm_edu.lessons.charts import bars

pytestmark = pytest.mark.browser
PAGE = '<body style="margin:0;background:{paper};color-scheme:{scheme}"><img src="{source}">'


@pytest.mark.parametrize(("scheme", "paper"), [("light", "#ffffff"), ("dark", "#111111")])
def test_an_image_of_a_plot_can_be_read_in_either_theme(open_page, tmp_path, scheme, paper):
    svg = bars(["one", "two"], {"numbers": [1, 2]})._repr_svg_()
    source = "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()
    (tmp_path / "x.html").write_text(PAGE.format(paper=paper, scheme=scheme, source=source))
    system = "light" if scheme == "dark" else "dark"  # what the system wishes does not matter
    page = open_page((tmp_path / "x.html").as_uri(), color_scheme=system)
    assert page.evaluate("document.images[0].naturalWidth") > 100
    picture = Image.open(BytesIO(page.locator("img").screenshot())).convert("L")
    back, tones = picture.getpixel((1, 1)), picture.histogram()
    ink = sum(tones[:70]) if scheme == "light" else sum(tones[200:])
    assert back == (255 if scheme == "light" else 17), "the paper is the page's"
    assert ink > 50, "and the words stand out against it"
