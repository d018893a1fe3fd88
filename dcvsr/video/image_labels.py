"""Labels of images that outputs lack: EXIF, text, colour tags of PNG, and pixels that are not square."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from PIL.ExifTags import IFD, Base

from dcvsr.video.labels import tags

# Tags that describe the content; others describe the file, and TIFF stores its header as such tags.
_EXIF = {
    **{tag: tag.name for tag in (Base.ImageDescription, Base.Make, Base.Model, Base.DateTime, Base.Artist)},
    **{Base.Copyright: "Copyright", IFD.Exif: "camera settings", IFD.GPSInfo: "GPS"},
}
_XMP, _TEXTS = "XML:com.adobe.xmp", (b"tEXt", b"zTXt", b"iTXt")
_ORDINARY_GAMMA = range(45000, 52000)  # 45455 is sRGB; FFmpeg writes 50994 for BT.709
_ORDINARY_CODES = {(1, 1), (1, 13)}  # primaries and transfer of BT.709 and sRGB, ITU-T H.273


def labels_of(image: Image.Image, path: Path) -> tuple[str, ...]:
    """Return the names of an image's EXIF tags and texts, but for those that describe the file only."""
    exif = image.getexif()
    names = [name for tag, name in _EXIF.items() if tag in exif]
    if image.format == "PNG":
        texts = [data.split(b"\0")[0].decode("latin-1") for kind, data in _chunks(path) if kind in _TEXTS]
        return (*names, *("XMP" if text == _XMP else text for text in tags(dict.fromkeys(texts, ""))))
    names += [name for key, name in {"xmp": "XMP", "photoshop": "IPTC"}.items() if image.info.get(key)]
    comment = image.info.get("comment", b"")
    if comment and b"Lavc" not in bytes(comment):  # FFmpeg's name and version
        names.append("comment")
    return tuple(names)


def colour_tag_of(image: Image.Image, path: Path) -> str | None:
    """Return the name of the PNG chunk by which a viewer shows an image unlike sRGB, if there is one.

    An ICC profile takes precedence over these chunks, as does sRGB over gAMA (PNG specification, 4.3).
    """
    chunks = dict(_chunks(path)) if image.format == "PNG" else {}
    if (codes := chunks.get(b"cICP")) and tuple(codes[:2]) not in _ORDINARY_CODES:
        return "cICP"
    gamma = int.from_bytes(chunks.get(b"gAMA", b""))
    is_overruled = bool(chunks.keys() & {b"cICP", b"iCCP", b"sRGB"})
    return "gAMA" if gamma and not is_overruled and gamma not in _ORDINARY_GAMMA else None


def is_stretched(image: Image.Image) -> bool:
    """Return True if the pixels of an image are not square by its header."""
    info = image.info
    density = info.get("aspect") or info.get("dpi") or info.get("jfif_density") or (1, 1)
    width, height = map(float, density)  # TIFF without a resolution gives NaN
    return min(width, height) > 0 and abs(width / height - 1) > 0.01


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and first 100 bytes of each chunk of a PNG, but for the pixels."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4]), head[4:]
            data = b"" if kind == b"IDAT" else file.read(min(length, 100))
            yield kind, data
            file.seek(length - len(data) + 4, 1)  # 4 bytes of checksum
