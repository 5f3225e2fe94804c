"""Reads SUMO's XML files, and refuses what would end the process inside SUMO's own parser.

libsumo 1.28 ends with a segmentation fault, and the process with it, where a network begins without
its version, or holds an entity, an ``<include>`` of itself or elements nested without end.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

from ml.errors import ScenarioError

MAX_DEPTH = 50
"""SUMO's own files nest 5 deep."""
_CHUNK_BYTES = 1 << 16
_GZIP_START = b"\x1f\x8b"
_INCLUDE = "include"
_READ_ERRORS = (ValueError, LookupError, OSError, EOFError, zlib.error)


def read_xml(path: str | Path) -> ElementTree.Element:
    """Return the root element of an XML file, which may be packed with gzip as SUMO's may.

    Raises:
        ScenarioError: The file cannot be read, is not well-formed, declares a document type or
            entities, includes another file, or nests too deeply.
    """
    parser = ElementTree.XMLParser(target=_PlainTreeBuilder(path))  # noqa: S314 - refuses entities
    try:
        with Path(path).open("rb") as stream:
            is_packed = stream.read(len(_GZIP_START)) == _GZIP_START
            stream.seek(0)
            source = gzip.GzipFile(fileobj=stream) if is_packed else stream
            while chunk := source.read(_CHUNK_BYTES):
                parser.feed(chunk)
        root: ElementTree.Element = parser.close()
    except ScenarioError:
        raise
    except (ElementTree.ParseError, *_READ_ERRORS) as error:
        raise ScenarioError(
            f"{path} must be well-formed XML. Got: {error}. Correct or restore the file."
        ) from error
    return root


def check_network_file(path: str | Path) -> None:
    """Check that a file begins as a SUMO network.

    Raises:
        ScenarioError: It is no XML as above, or no network with its version.
    """
    root = read_xml(path)
    version = root.get("version", "")
    if root.tag != "net" or not version:
        raise ScenarioError(
            f"{path} must be a SUMO network, <net version=...>. Got <{root.tag}> with the version "
            f"{version!r}. Make it with netconvert."
        )


class _PlainTreeBuilder(ElementTree.TreeBuilder):
    """Builds a tree of plain elements, and refuses anything else as soon as it comes."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._path = path
        self._depth = 0

    def doctype(self, name: str, public_id: str | None, system: str | None) -> NoReturn:
        """Refuse a document type, the only place where entities can be declared."""
        del public_id, system
        raise ScenarioError(
            f"{self._path} must not declare a document type or entities. Got <!DOCTYPE {name}>. "
            "Delete it."
        )

    def start(self, tag: str, attributes: dict[str, str], /) -> ElementTree.Element:
        """Begin an element."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ScenarioError(
                f"{self._path} must nest at most {MAX_DEPTH} elements. Got more at <{tag}>. "
                "Restore the file."
            )
        if tag == _INCLUDE:
            raise ScenarioError(
                f"{self._path} must not include other files. Got <include "
                f"href={attributes.get('href', '')!r}>. Name them in the .sumocfg."
            )
        return super().start(tag, attributes)

    def end(self, tag: str, /) -> ElementTree.Element:
        """End an element."""
        self._depth -= 1
        return super().end(tag)
