"""Reports of a run: a page of its own, a PDF, a notebook, tables, pictures, one file for others."""
