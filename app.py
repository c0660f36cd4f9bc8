"""The app: pages, the run they share, and nothing else."""

from circuitviz.ui import shell

shell.configure_page()
page = shell.navigation()
finish = shell.draw_chrome(page)
page.run()
finish()
