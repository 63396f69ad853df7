"""Pictures on the page. Streamlit sends arrays as JPEG unless told otherwise, which would destroy perturbations."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from lab.markup import plain
from lab.photos.uploads import Photo
from lab.pictures import as_png, enlarged
from models.photos import Preprocessing


def show(picture: NDArray[np.uint8], caption: str = "", *, alt: str = "") -> None:
    """Show an (H, W, 3) picture as wide as its column, lossless; a small one is enlarged to show its pixels.

    ``alt`` is what is said of it instead to those who do not see it: the caption, if there is one. Neither is Markdown.
    """
    st.image(enlarged(picture), caption=plain(caption), alt=alt or caption, width="stretch", output_format="PNG")


def show_small(photo: Photo, side: int, caption: str = "") -> None:
    """Show the largest square in the middle of a photo, ``side`` pixels wide on the page."""
    square = _square(photo.digest, 2 * side, photo.image)
    st.image(square, caption=plain(caption), alt=f"The photo {photo.name}", width="stretch", output_format="PNG")


@st.cache_data(max_entries=256, show_spinner=False)
def _square(digest: str, side: int, _photo: Image.Image) -> bytes:
    """A PNG file. Cached by the photo's sha256, for pages show dozens whenever they are drawn."""
    return as_png(Image.fromarray(Preprocessing(side, crop=1.0)(_photo)))
