"""Keep what the libraries allocate at import out of garbage collection.

Streamlit collects all garbage after each script run.  With torch and transformers imported that
takes about 150 ms, nearly all of it to look at objects that live as long as the server.
"""

from __future__ import annotations

import gc

import streamlit as st

__all__ = ["set_imports_aside"]


@st.cache_resource(show_spinner=False)
def set_imports_aside(what: str) -> None:
    """Never again look at the objects that are alive now; for after large imports.

    What is set aside is freed only when its last reference goes, never as part of a cycle: models,
    which hold cycles, are loaded after it.

    Args:
        what: Was imported; done once in the life of the server for each.
    """
    del what  # the key of the cache
    gc.collect()
    gc.freeze()
