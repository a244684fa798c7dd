"""Small filters and tags that every template may use without loading."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def bytesize(value: float | None) -> str:
    """1536 -> "1.5 KiB"."""
    size = float(value or 0)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
