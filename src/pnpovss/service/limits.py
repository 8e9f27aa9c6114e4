"""What one request may ask for, and how much is remembered between requests."""

from dataclasses import dataclass

from pnpovss.config import Settings
from pnpovss.errors import ConfigError, ImageError, NamesError
from pnpovss.saliency.views import views_of

__all__ = ["Limits", "crf_pixels_of"]


@dataclass(frozen=True)
class Limits:
    """Bounds on each request, and on all of them together.

    Attributes:
        body_bytes: of an upload, everything included.
        upload_seconds: until all of it must have arrived.
        arriving: uploads of the greatest size whose bytes are kept at once, before they are in the queue.
        pixels: of a photo, width x height.
        names: in one request, synonyms not counted.
        words: in one request, synonyms counted.
        letters: of one word.
        scores: names x pixels, each of which takes 4 bytes several times over.
        seconds: from the arrival of a request until its answer is there.
        waiting: requests that wait for a worker; further ones are refused.
        passes: of Salience Dropout.
        views: looks at the photo and at parts of it.
        image_size: side of what the model looks at [px].
        look_pixels: of all looks together, views x image_size squared; they are encoded in one step.
        iterations: of the Dense CRF.
        crf_pixels: at which the Dense CRF may work.
        crf_work: names, and the background, x pixels at which the Dense CRF works x its iterations.
        memory_bytes: of what is remembered of photos.
    """

    body_bytes: int = 24_000_000
    upload_seconds: float = 30.0
    arriving: int = 16
    pixels: int = 16_000_000
    names: int = 64
    words: int = 256
    letters: int = 200
    scores: int = 128_000_000
    seconds: float = 60.0
    waiting: int = 32
    passes: int = 16
    views: int = 40
    image_size: int = 1024
    look_pixels: int = 21_000_000  # the preset `best` at the greatest size
    iterations: int = 100
    crf_pixels: int = 4_000_000
    crf_work: int = 4_000_000_000  # `scores` x the most iterations that the page offers
    memory_bytes: int = 512_000_000

    def check_names(self, words_of_each: list[int]) -> None:
        """Refuse more than is allowed.

        Args:
            words_of_each: how many words each name has, itself included.

        Raises:
            NamesError: too many names, or words.
        """
        if len(words_of_each) > self.names:
            raise NamesError(f"{len(words_of_each)} names were given; this service takes {self.names} per request")
        if sum(words_of_each) > self.words:
            raise NamesError(f"{sum(words_of_each)} words were given; this service takes {self.words} per request")

    def check_settings(self, settings: Settings) -> None:
        """Refuse settings that would take the service from everybody else.

        Raises:
            ConfigError: a value above its limit here.
        """
        asked = {
            "dropout.passes": (settings.dropout.passes if settings.dropout else 1, self.passes),
            "views (looks)": (len(views_of(settings.views)), self.views),
            "image_size": (settings.image_size, self.image_size),
            "crf.iterations": (settings.crf.iterations if settings.crf else 1, self.iterations),
        }
        for name, (value, most) in asked.items():
            if value > most:
                raise ConfigError(f"setting {name}: this service allows at most {most}, got {value}; ask for no more")
        looks, side = len(views_of(settings.views)), settings.image_size
        if looks * side**2 > self.look_pixels:
            raise ConfigError(
                f"settings views and image_size: this service allows {self.look_pixels:,} pixels in all looks at a "
                f"photo, got {looks} looks at {side} x {side}; ask for fewer looks, or for a smaller image_size"
            )

    def check_photo(self, size: tuple[int, int], names: int, settings: Settings) -> None:
        """Refuse a photo that would take too much memory with so many names and these settings.

        Args:
            size: (width, height) of the photo [px].
            names: that are asked for.
            settings: that run.

        Raises:
            ImageError: too many pixels for so many names.
            ConfigError: a Dense CRF at more pixels, or of more work, than is allowed.
        """
        pixels = size[0] * size[1]
        if pixels * (names + 1) > self.scores:
            raise ImageError(
                f"{names} names on a photo of {size[0]:,} x {size[1]:,} pixels need more memory than a request may "
                f"take here ({self.scores:,} scores); ask for fewer names, or make the photo smaller"
            )
        if pixels > self.crf_pixels and not self.takes_large_photos(settings):
            raise ConfigError(
                f"setting crf.max_pixels: this service allows at most {self.crf_pixels:,}, got "
                f"{crf_pixels_of(settings)} for a photo of {pixels:,} pixels; ask with settings="
                f'{{"crf.max_pixels": {self.crf_pixels}}}, or make the photo smaller'
            )
        self._check_work(size, names, settings)

    def _check_work(self, size: tuple[int, int], names: int, settings: Settings) -> None:
        crf = settings.crf
        if crf is None:
            return
        pixels = size[0] * size[1]
        works_at = pixels if crf.max_pixels is None else min(pixels, crf.max_pixels)
        if (names + 1) * works_at * crf.iterations > self.crf_work:
            most = self.crf_work // ((names + 1) * works_at)
            raise ConfigError(
                f"setting crf.iterations: this service allows at most {most} for {names} names on {works_at:,} pixels "
                f"(names and background x pixels x iterations: {self.crf_work:,}), got {crf.iterations}; ask for "
                "fewer, or for a smaller crf.max_pixels"
            )

    def takes_large_photos(self, settings: Settings) -> bool:
        """Whether photos of more than `crf_pixels` can be asked about with these settings."""
        crf = settings.crf
        return crf is None or (crf.max_pixels is not None and crf.max_pixels <= self.crf_pixels)


def crf_pixels_of(settings: Settings) -> str:
    """The setting crf.max_pixels as messages tell it, and as it is given; the Dense CRF is on."""
    assert settings.crf is not None
    return str(settings.crf.max_pixels or "none")
