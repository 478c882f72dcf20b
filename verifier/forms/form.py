"""
Name the forms in which a verification is told, and write an outcome in one.

The form changes nothing about what was found, nor the exit status.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath
from typing import Final

from ledger.errors import InvalidInput, shown
from verifier.forms.junit import junit
from verifier.forms.lines import lines
from verifier.forms.markdown import markdown
from verifier.forms.objects import objects
from verifier.forms.page import page
from verifier.report import Outcome


class Form(StrEnum):
    """
    How an outcome is written.
    """

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    MARKDOWN = "markdown"
    HTML = "html"


SUFFIXES: Final = {".json": Form.JSON, ".xml": Form.JUNIT, ".md": Form.MARKDOWN, ".html": Form.HTML}


def of_file(path: PurePath) -> Form:
    """
    Return the form of a report in a file of this name.

    Raises:
        InvalidInput: its suffix names none.
    """
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise InvalidInput(f"found report file {shown(path.name)}; expected a name in {', '.join(SUFFIXES)}") from None


def written(outcome: Outcome, form: Form, checked_at: int) -> str:
    """
    Return *outcome* in *form*; *checked_at* is when it was come to, in seconds since 1970.
    """
    match form:
        case Form.JSON:
            return objects(outcome, checked_at)
        case Form.JUNIT:
            return junit(outcome, checked_at)
        case Form.MARKDOWN:
            return markdown(outcome, checked_at)
        case Form.HTML:
            return page(outcome, checked_at)
        case Form.TABLE:
            return lines(outcome)
