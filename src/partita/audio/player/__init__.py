"""A player as a piece of HTML, with its audio inside: what notebooks show."""
