"""The application in the browser: a library of songs, a queue of separations, REST, a page."""
