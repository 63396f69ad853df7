"""What is kept for all pages of what networks say."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.records import Halt
from lab.request import Request
from lab.runs.pool import models
from models.encodings import Prediction


def fingerprint(array: NDArray[Any]) -> str:
    """sha256 of all that an array holds. Streamlit, left to itself, looks at a part of a large one."""
    return sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs={np.ndarray: fingerprint})
def predict(model: str, picture: NDArray[np.uint8]) -> Prediction:
    """Read a picture (H, W, 3), as the network sees it, with a model that has been loaded. Cached by its pixels."""
    import torch

    from models.loaders import to_tensor

    loaded = models().request(model).result()
    with torch.no_grad():
        z = loaded.network(to_tensor(picture, loaded.device)[None])[0]
    return Prediction(z.cpu().numpy(), loaded.encoding.decode(z).cpu().numpy())


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs={np.ndarray: fingerprint})
def gradient(request: Request, picture: NDArray[np.uint8]) -> NDArray[np.floating] | None:
    """Where a request's target pulls its picture (H, W, 3), as lab.runs.launch has it; its model has been loaded.

    None if that cannot be told. Cached by both, so ask without settings, on which it does not depend.
    """
    from lab.runs import launch  # imports torch

    try:
        return launch.gradient(request, models().request(request.model).result(), picture)
    except Halt:
        return None
