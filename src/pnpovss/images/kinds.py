"""Which files are photos: by name, and by their first bytes."""

from PIL import TiffImagePlugin

from pnpovss.images.stored import Stored, opened

__all__ = ["FORMATS", "PHOTO_SUFFIXES", "START", "is_avif", "is_heic", "starts_like", "what_it_is"]

# Formats of photos. Left out on purpose: EPS, which would run Ghostscript, and what holds drawings or scientific data.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")

# HEIC needs an extra and JPEG XL is not read, but a folder of them holds photos, and has to say what they need.
PHOTO_SUFFIXES = frozenset(
    ".avif .bmp .gif .heic .heif .hif .jfif .jp2 .jpe .jpeg .jpg .jxl .mpo .pbm .pgm .png .ppm .tga .tif .tiff "
    ".webp".split()
)

START = 64  # bytes of a file that tell its kind

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_READ = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"RIFF": "WebP",
}
_NOT_READ = {
    b"%PDF": "it is a PDF document",
    b"\xff\x0a": "it is a JPEG XL photo, which is not read; convert it to PNG",
    b"\0\0\0\x0cJXL ": "it is a JPEG XL photo, which is not read; convert it to PNG",
    b"8BPS": "it is a Photoshop document; export it as PNG",
    b"\x93NUMPY": "it is a NumPy array; load it, and hand over the array",
    b"v/1\x01": "it is an OpenEXR picture; export it as PNG",
    b"PK\x03\x04": "it is a ZIP archive",
}
_ADVICE = "give a JPEG, PNG, TIFF, WebP or the like"


def is_heic(start: bytes) -> bool:
    """Whether a file with these first bytes is a HEIC photo, which Pillow alone does not read."""
    return bool(_brands(start) & _HEIC_BRANDS) and not is_avif(start)


def is_avif(start: bytes) -> bool:
    """Whether a file with these first bytes is an AVIF photo."""
    return bool(_brands(start) & _AVIF_BRANDS)


def starts_like(start: bytes) -> str | None:
    """The format among those that are read that a file with these first bytes is meant to have."""
    return next((kind for magic, kind in _READ.items() if start.startswith(magic)), None)


def what_it_is(stored: Stored, start: bytes) -> str:
    """What a file that could not be opened as a photo is, and what to do; a clause that follows its name."""
    for magic, kind in _NOT_READ.items():
        if start.startswith(magic):
            return f"is no photo: {kind}" if ";" in kind else f"is no photo: {kind}; {_ADVICE}"
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return f"is a TIFF of a kind that is not read{_tiff_kind(stored)}; save it with 8 bits per channel as RGB"
    try:
        return f"is no photo: it seems to be text, starting with {start.decode('utf-8')[:24]!r}; {_ADVICE}"
    except UnicodeDecodeError:
        return f"is no photo: it starts with the bytes {start[:8].hex(' ')}; {_ADVICE}"


def _brands(start: bytes) -> set[bytes]:
    """The brands that a file of the ISO base media format declares: the major one and the compatible ones."""
    if start[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return {start[8:12], *(start[i : i + 4] for i in range(16, end - 3, 4))}


def _tiff_kind(stored: Stored) -> str:
    """What its first directory says, such as " (bits 32, 32, photometric 8, compression 34712)"."""
    try:
        with opened(stored) as file:
            directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(directory.next)
            directory.load(file)
            told = [(word, directory.get(tag)) for tag, word in _TIFF_WORDS.items()]
    except Exception:  # a directory that cannot be read tells nothing
        return ""
    parts = [f"{word} {', '.join(map(str, v)) if isinstance(v, tuple) else v}" for word, v in told if v is not None]
    return f" ({'; '.join(parts)[:200]})" if parts else ""


_TIFF_WORDS = {258: "bits", 277: "channels", 339: "sample format", 262: "photometric", 259: "compression"}
