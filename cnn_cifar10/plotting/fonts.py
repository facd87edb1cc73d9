"""Fonts for names in any script."""

import functools
import logging
import unicodedata
from collections.abc import Collection, Mapping
from typing import Any

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

logger = logging.getLogger(__name__)

_NOT_FOR_TEXT = ("Last Resort", "cm", "STIXNon", "STIXSize")  # boxes, and parts of formulas
_told: set[str] = set()


def fit_fonts(value: Any) -> tuple[list[str], Any]:
    """Find fonts for all text in a value.

    Args:
        value: Text, or mappings, lists and tuples of it; other things in them are left alone.

    Returns:
        A pair: the font families to draw it with, none where the usual ones do, and the value.
        In its text, characters that no installed font has are escapes such as `\\u65e5`.
    """
    characters = _characters(value) - {"\n"}
    usual = FT2Font(font_manager.findfont(font_manager.FontProperties()))
    lacking = frozenset(characters - set(map(chr, usual.get_charmap())))
    if not lacking:
        return [], value
    families, unknown = _find_families(lacking)
    escapes = {ord(one): _escape(one) for one in unknown}
    return [usual.family_name, *families], _translate(value, escapes) if escapes else value


def _escape(character):
    """Return what stands for a character without a glyph; marks of direction show nothing."""
    if unicodedata.category(character) == "Cf":
        return ""
    return character.encode("ascii", "backslashreplace").decode()


def _characters(value):
    if isinstance(value, str):
        return set(value)
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    return set().union(*map(_characters, value)) if isinstance(value, (list, tuple)) else set()


def _translate(value, escapes):
    """Return a value with the characters of its text replaced."""
    if isinstance(value, str):
        return value.translate(escapes)
    if isinstance(value, Mapping):
        pairs = _translate([*value.items()], escapes)
        return dict(pairs)
    if isinstance(value, (list, tuple)):
        return type(value)([_translate(each, escapes) for each in value])
    return value


@functools.cache
def _find_families(lacking: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Return families that have these characters, the fewest, and the characters of none."""
    _add_new_fonts()
    files = {e.name: e.fname for e in font_manager.fontManager.ttflist if e.style == "normal"}
    names = [name for name in files if not name.startswith(_NOT_FOR_TEXT)]
    covered = {name: _covered(files[name], lacking) for name in names}
    families: list[str] = []
    while lacking:
        best = max(names, key=lambda name: (len(covered[name] & lacking), "Sans" in name))
        if not covered[best] & lacking:
            break
        families.append(best)
        lacking -= covered[best]
    if lacking:
        _warn(lacking)
    return families, lacking


def _add_new_fonts():
    """Let Matplotlib know of fonts that were installed after it listed them."""
    manager = font_manager.fontManager
    for path in set(font_manager.findSystemFonts()) - {entry.fname for entry in manager.ttflist}:
        try:
            manager.addfont(path)
        except (OSError, RuntimeError, ValueError) as error:  # such as a font of bitmaps
            logger.debug("%s: cannot be used (%s)", path, error)


def _covered(path, characters):
    try:
        return characters & set(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError) as error:
        logger.debug("%s: cannot be read (%s)", path, error)
        return frozenset()


def _warn(characters: Collection[str]):
    """Say once which package of fonts would help."""
    packages: dict[str, list[str]] = {}
    for character in sorted(characters):
        if not unicodedata.category(character).startswith("C"):  # which no font has
            packages.setdefault(_package_of(character), []).append(character)
    for package, those in packages.items():
        if package not in _told:
            _told.add(package)
            logger.warning(
                "no installed font has %s (%s): figures show escapes such as %s; install fonts, "
                "on Debian: apt install %s",
                " ".join(those[:8]),
                ", ".join(sorted({_script_of(each) for each in those})),
                _escape(those[0]),
                package,
            )


def _script_of(character):
    """Return the first word of a letter's name, which is its script's."""
    is_letter = unicodedata.category(character).startswith(("L", "M"))
    return unicodedata.name(character, "letters").split()[0].lower() if is_letter else "symbols"


def _package_of(character):
    """Return the Debian package of the fonts for a character."""
    if _script_of(character) == "symbols":
        return "fonts-symbola"
    wide = unicodedata.east_asian_width(character) in "WF"
    return "fonts-noto-cjk" if wide else "fonts-noto-core"
