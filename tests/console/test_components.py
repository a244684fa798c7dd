"""Filters and tags that templates use, and the components with variables in them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone

from console.templatetags import console as tags
from datasets import states as rounds
from services import states

COMPONENTS = Path(settings.TEMPLATES[0]["DIRS"][0]) / "components"


def rendered(source: str, **context: object) -> str:
    return Template(source).render(Context(context))


@pytest.mark.parametrize(
    ("size", "text"), [(None, "0 B"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
)
def test_a_size_is_said_with_its_unit(size: float | None, text: str) -> None:
    assert tags.bytesize(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s ago"), (65, "1 min ago"), (7300, "2 h ago"), (90000, "1 d ago"), (-3601, "in 1 h")]
)
def test_a_time_is_said_as_a_distance(seconds: int, text: str) -> None:
    assert tags.ago(timezone.now() - timedelta(seconds=seconds)) == text


def test_a_share_of_nothing_is_nothing_and_never_over_a_hundred() -> None:
    assert tags.percent_of(3, 0) == 0
    assert tags.percent_of(None, 4) == 0
    assert tags.percent_of(9, 4) == 100


def test_every_state_has_a_colour() -> None:
    assert {*states.ALL, *rounds.ALL} <= set(tags.COLOURS)


def test_what_a_user_wrote_is_escaped_inside_a_card_and_a_table() -> None:
    page = rendered(
        '{% card title=title %}{% table headings="Name|#Size" caption="Files" %}<tr><td>{{ name }}</td></tr>'
        "{% endtable %}{% endcard %}",
        title="<b>",
        name="<script>alert(1)</script>",
    )
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "&lt;b&gt;" in page
    assert '<th scope="col" class="number">Size</th>' in page


def test_a_live_region_asks_again_and_again() -> None:
    page = rendered('{% live id="rounds" url=url every=1 %}now{% endlive %}', url="/r?a=1&b=2")
    assert 'hx-get="/r?a=1&amp;b=2"' in page
    assert 'hx-trigger="every 1s"' in page
    assert ">now</div>" in page


def test_a_field_names_its_errors_to_a_screen_reader() -> None:
    page = rendered(
        '{% include "components/field.html" with name="name" label="Name" errors=errors %}', errors=["Is <taken>."]
    )
    assert 'aria-invalid="true"' in page
    assert 'aria-describedby="help_name"' in page and 'id="help_name"' in page
    assert "Is &lt;taken&gt;." in page


def test_a_number_of_zero_is_shown_and_may_be_the_minimum() -> None:
    page = rendered(
        '{% include "components/field.html" with name="gpu" label="GPUs" type="number" value=zero min=0 %}', zero=0
    )
    assert 'value="0"' in page and 'min="0"' in page


def test_a_page_link_keeps_the_other_filters() -> None:
    request = RequestFactory().get("/services/", {"state": "READY", "page": "1"})
    assert rendered("{% page_query 2 %}", request=request) == "?state=READY&amp;page=2"


def test_every_component_lists_its_variables_on_top() -> None:
    files = sorted(COMPONENTS.glob("*.html"))
    assert len(files) > 15
    assert [file.name for file in files if not file.read_text().startswith("{% comment %}")] == []


def test_no_page_runs_scripts_or_styles_of_its_own() -> None:
    """A content security policy without 'unsafe-inline' stays possible, and nothing comes from another host."""
    templates = COMPONENTS.parent.rglob("*.html")
    bad = (
        " onclick=",
        " onchange=",
        " onsubmit=",
        " style=",
        "javascript:",
        "<script>",
        "<style",
        'src="http',
        'href="http',
    )
    violations = [(file.name, word) for file in templates for word in bad if word in file.read_text()]
    assert violations == []
