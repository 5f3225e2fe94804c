"""Reads SUMO's XML files, and refuses what SUMO's own parser must not meet.

libsumo 1.28 ends with a segmentation fault, and the process with it, where a network begins without
its version, or holds an entity, an ``<include>`` of itself or elements nested without end. It also
reads every file that another one includes, writes to every path that a detector names, and connects
to ``host:port`` in the place of a path.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError, read_bounded, size_text
from ml.errors import ScenarioError

MAX_DEPTH = 50
"""SUMO's own files nest 5 deep."""
MAX_ELEMENTS = 1_000_000
"""The largest network of the project has 1,500; an element takes up to 0.5 kB."""
_CHUNK_BYTES = 1 << 20
"""expat 2.5 reads a text that is longer than a chunk once again with every chunk."""
_GZIP_START = b"\x1f\x8b"
_DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)\b\s*([^\s>\[]{0,60})")
_ENCODING = re.compile(rb"<\?xml\b[^>]{0,200}?\bencoding\s*=\s*[\"']([^\"']*)", re.DOTALL)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ENCODINGS = {"utf-8", "us-ascii", "ascii", "iso-8859-1"}
_FILE_ATTRIBUTES = ("file", "dest", "output", "imgFile", "osgFile")
_NOWHERE = {"", "NUL", "nul", "/dev/null"}
"""What SUMO takes for no file."""
_INCLUDE = "include"
_READERS = {"rerouter", "variableSpeedSign", "calibrator"}
"""Elements whose ``file`` SUMO reads, where that of others is written."""
_READ_ERRORS = (ValueError, LookupError, OSError, EOFError, zlib.error)


def read_xml(path: str | Path) -> ElementTree.Element:
    """Return the root element of an XML file, which may be packed with gzip as SUMO's may.

    Raises:
        ScenarioError: The file cannot be read, is not well-formed, is too large, declares a
            document type or entities, includes another file, names a file elsewhere, or nests too
            deeply.
    """
    parser = ElementTree.XMLParser(target=_PlainTreeBuilder(path))  # noqa: S314 - refuses entities
    try:
        content = _unpacked(path)
        _check_start(content, path)
        for start in range(0, len(content), _CHUNK_BYTES):
            parser.feed(content[start : start + _CHUNK_BYTES])
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


def _unpacked(path: str | Path) -> bytes:
    """Return a file's content, unpacked where it is packed, never more than the limit."""
    content = read_bounded(path, LARGEST_DOCUMENT_BYTES)
    if content.startswith(_GZIP_START):
        content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST_DOCUMENT_BYTES + 1)
    if len(content) > LARGEST_DOCUMENT_BYTES:
        raise UnusableFileError(f"more than {size_text(LARGEST_DOCUMENT_BYTES)} once unpacked")
    return content


def _check_start(content: bytes, path: str | Path) -> None:
    """Refuse a document type and an encoding in which SUMO could read something else."""
    declared = _ENCODING.match(content.removeprefix(_BYTE_ORDER_MARK))
    encoding = "utf-8" if declared is None else declared[1].decode("ascii", "backslashreplace")
    if b"\0" in content[:_CHUNK_BYTES]:
        encoding = "bytes of 0"
    if encoding.lower() not in _ENCODINGS:
        raise ScenarioError(
            f"{path} must be in UTF-8, US-ASCII or ISO-8859-1. Got {encoding[:60]!r}. Save it as "
            "UTF-8."
        )
    doctype = _DOCTYPE.search(content)
    if doctype is not None:
        raise ScenarioError(
            f"{path} must not declare a document type or entities. Got "
            f"{doctype[0][:60].decode('ascii', 'backslashreplace')!r}. Delete it."
        )


class _PlainTreeBuilder(ElementTree.TreeBuilder):
    """Builds a tree of plain elements, and refuses anything else as soon as it comes."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._path = path
        self._depth = 0
        self._num_elements = 0

    def start(self, tag: str, attributes: dict[str, str], /) -> ElementTree.Element:
        """Begin an element."""
        self._depth += 1
        self._num_elements += 1
        if self._depth > MAX_DEPTH:
            raise ScenarioError(
                f"{self._path} must nest at most {MAX_DEPTH} elements. Got more at <{tag[:60]}>. "
                "Restore the file."
            )
        if self._num_elements > MAX_ELEMENTS:
            raise ScenarioError(
                f"{self._path} must hold at most {MAX_ELEMENTS:,} elements. Got more. Restore the "
                "file."
            )
        read_name = attributes.get("file", "") if tag in _READERS else ""
        if tag.rpartition("}")[2] == _INCLUDE or read_name not in _NOWHERE:
            read_name = read_name or attributes.get("href", "")
            raise ScenarioError(
                f"{self._path} must not include other files. Got <{tag[-60:]}> of "
                f"{read_name[:60]!r}. Name them in the .sumocfg, or write their content here."
            )
        for value in _named_files(tag, attributes):
            self._check_named_file(tag, value)
        return super().start(tag, attributes)

    def end(self, tag: str, /) -> ElementTree.Element:
        """End an element."""
        self._depth -= 1
        return super().end(tag)

    def _check_named_file(self, tag: str, name: str) -> None:
        """Refuse the name of a file outside the folder, through a link, or of a connection."""
        place = PurePosixPath(name)
        is_plain = ":" not in name and "\\" not in name and ".." not in place.parts
        if name in _NOWHERE or (is_plain and not place.is_absolute() and self._is_inside(name)):
            return
        raise ScenarioError(
            f"file that <{tag[:60]}> in {self._path} names must lie below the folder of "
            f"{Path(self._path).name}. Got {name[:60]!r}. Delete it."
        )

    def _is_inside(self, name: str) -> bool:
        """Return whether no link leads out of the folder."""
        folder = Path(self._path).parent
        try:
            return (folder / name).resolve().is_relative_to(folder.resolve())
        except (OSError, ValueError, RuntimeError):  # a name that cannot be, or a loop of links
            return False


def _named_files(tag: str, attributes: dict[str, str]) -> list[str]:
    """Return the files that an element has SUMO read or write."""
    names = [attributes[key] for key in _FILE_ATTRIBUTES if key in attributes]
    if tag == "param" and attributes.get("key", "").rpartition(".")[2] in _FILE_ATTRIBUTES:
        names.append(attributes.get("value", ""))
    return names
