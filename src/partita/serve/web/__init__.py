"""REST and the page, on Starlette."""
