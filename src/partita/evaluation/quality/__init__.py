"""How good a separation is, estimated without references."""
