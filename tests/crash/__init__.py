"""The crash matrix: a process dies at every boundary that a piece of work passes, and the next one picks it up."""
