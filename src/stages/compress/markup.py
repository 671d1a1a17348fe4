"""HTML elements whose texts are escaped, as xml.etree's elements."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from .report_format import visible

Node = ET.Element | str | None


def element(tag: str, *children: Node, **attributes: object) -> ET.Element:
    """An element of texts and elements; None is left out.

    `class_` is the attribute class, `data_label` is data-label. Texts may come from anywhere: the serializer
    escapes them, and characters that reorder others are printed as escapes.
    """
    made = ET.Element(
        tag, {_name(key): visible(str(value)) for key, value in attributes.items() if value is not None}
    )
    for child in children:
        if isinstance(child, str):
            _append_text(made, visible(child))
        elif child is not None:
            made.append(child)
    return made


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _append_text(parent: ET.Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def style(css: str) -> ET.Element:
    """A style element; its text is not escaped, so that it must not come from outside."""
    made = ET.Element("style")
    made.text = css
    return made


def serialize(root: ET.Element) -> str:
    """The HTML document of an html element."""
    return "<!DOCTYPE html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"
