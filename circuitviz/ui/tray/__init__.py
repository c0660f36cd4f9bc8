"""The tray: which units are off, changed by hand, and what that does."""
