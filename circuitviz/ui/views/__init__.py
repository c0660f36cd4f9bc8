"""What the other pages show, one module for a page or a part of one."""
