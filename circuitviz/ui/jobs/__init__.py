"""Work that goes on in the background: listed and watched."""
