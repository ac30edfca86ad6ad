"""Words for people: names as messages show them, reasons of errors, durations."""

from __future__ import annotations


def short(name: str) -> str:
    """A name as a message may show it: printable, at most 80 characters."""
    printable = "".join(c if c.isprintable() else "?" for c in name)
    return printable if len(printable) <= 80 else printable[:77] + "..."


def reason(error: Exception) -> str:
    """The first line of an error of a decoder or of the operating system."""
    words = getattr(error, "strerror", None)  # without the number and the path; FFmpeg's errors have it, too
    if isinstance(words, str) and words:
        return short(words)
    return short(str(error).splitlines()[0] if str(error) else type(error).__name__)


def in_steps(count: int) -> str:
    """A number of steps in words.

    >>> in_steps(1), in_steps(4000)
    ('1 step', '4,000 steps')
    """
    return f"{count:,} step{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds in words: `45 seconds`, `12 minutes`, `1.5 hours`.

    >>> duration(1), duration(100), duration(7200)
    ('1 second', '2 minutes', '2.0 hours')
    """
    if seconds < 90:
        return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
