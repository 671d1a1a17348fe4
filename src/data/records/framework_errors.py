"""What mindspore.dataset means when it fails."""

import re


def reason(error):
    """The one telling line of a mindspore.dataset error, which comes with a page of its own structure."""
    told = re.search(r"ERROR\]\s*(\S[^\n]*)", str(error))
    return (told.group(1) if told else str(error).split("\n")[0]).strip().rstrip(".")[:200]
