"""Reports: what a separation or a score looks like, for people."""
