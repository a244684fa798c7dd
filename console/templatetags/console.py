"""Filters and tags that every template may use without loading. Components that wrap content are block tags here;
the markup of each is in templates/components/, with its variables listed on top.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.http import QueryDict
from django.template.context import Context
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from console.formats.units import duration_text, size_text
from services import states

register = template.Library()

COLOURS: Mapping[str, str] = {
    **states.COLOURS,
    # preheat rounds
    "PENDING": "grey",
    "COPYING": "blue",
    "VERIFYING": "blue",
    "PAUSED": "amber",
    "DONE": "green",
    "CANCELLED": "grey",
    # replicas
    "UNREADY": "amber",
    "BACKOFF": "amber",
    "DRAINING": "grey",
    "STANDBY": "grey",
}
MOVING = {*states.WAITING, "PENDING", "COPYING", "VERIFYING", "DRAINING"}


@register.filter
def bytesize(value: float | None) -> str:
    """1536 -> "1.5 KiB"."""
    return size_text(value or 0)


@register.filter
def exact(name: str) -> str:
    """A name with what a page would swallow: blanks at its ends or in a row as `␣`, control characters escaped."""
    shown = re.sub(r"^ +| +$| {2,}", lambda blanks: "␣" * len(blanks[0]), name)
    return shown if shown.isprintable() else "".join(map(_printable, shown))


def _printable(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode()


@register.filter
def from_epoch(value: float | None) -> datetime | None:
    """Seconds since the epoch as a time; None for 0, which stands for "not known"."""
    return datetime.fromtimestamp(value, tz=timezone.get_current_timezone()) if value else None


@register.filter
def ago(value: datetime | None) -> str:
    """A time as "12 s ago", "3 min ago", "2 h ago", "5 d ago"; "in ..." for one that lies ahead."""
    if value is None:
        return ""
    seconds = round((timezone.now() - value).total_seconds())
    text = duration(abs(seconds))
    return f"in {text}" if seconds < 0 else f"{text} ago"


@register.filter
def duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


@register.filter
def duration_words(seconds: float | None) -> str:
    """75 -> "1 min 15 s"; two units, where `duration` gives one."""
    return duration_text(seconds or 0)


@register.filter
def percent_of(used: float | None, total: float | None) -> int:
    """0 to 100, whole; 0 when the total is nothing."""
    return min(100, max(0, round(100 * (used or 0) / total))) if total else 0


@register.filter
def item(mapping: Mapping[Any, Any], key: Any) -> Any:
    """`mapping|item:key`, None when it is not there."""
    return mapping.get(key) if isinstance(mapping, Mapping) else None


@register.inclusion_tag("components/badge.html")
def state_badge(state: str, title: str = "") -> dict[str, Any]:
    """The badge of a state of a service, a replica or a preheat round."""
    return {"label": state.title(), "colour": COLOURS.get(state, "grey"), "moving": state in MOVING, "title": title}


@register.inclusion_tag("components/time.html")
def ago_time(at: datetime | None, never: str = "never") -> dict[str, Any]:
    """A time in words, with the exact one on hover."""
    return {"at": at, "never": never}


@register.inclusion_tag("components/nav_link.html", takes_context=True)
def nav_link(context: Context, url_name: str, label: str, icon: str) -> dict[str, Any]:
    url, path = reverse(url_name), context["request"].path
    return {"url": url, "label": label, "icon": icon, "current": path == url if url == "/" else path.startswith(url)}


@register.simple_block_tag
def card(content: SafeString, title: str = "", flush: bool = False, **more: Any) -> str:
    """`{% card title="Queues" link_url=url link_label="All queues" %}...{% endcard %}`"""
    return render_to_string("components/card.html", {"content": content, "title": title, "flush": flush, **more})


@register.simple_block_tag
def table(content: SafeString, headings: str, caption: str = "", id: str = "") -> str:
    """`{% table headings="Name|State|#Size" caption="Services" %}...{% endtable %}`; `#` marks numbers."""
    columns = [{"label": name.lstrip("#"), "number": name.startswith("#")} for name in headings.split("|")]
    return render_to_string(
        "components/table.html", {"content": content, "columns": columns, "caption": caption, "id": id}
    )


@register.simple_block_tag
def live(content: SafeString, id: str, url: str, every: float = 2, announce: bool = False, whole: bool = False) -> str:
    """`{% live id="rounds" url=url every=1 %}...{% endlive %}`: asked for again and again until status 286.

    `whole`: the answer holds this very tag again, and may change how often.
    """
    return render_to_string(
        "components/live.html",
        {"content": content, "id": id, "url": url, "every": every, "announce": announce, "whole": whole},
    )


@register.simple_tag(takes_context=True)
def page_query(context: Context, number: int, parameter: str = "page") -> str:
    """This page's query string with another page number."""
    query: QueryDict = context["request"].GET.copy()
    query[parameter] = str(number)
    return f"?{query.urlencode()}"
