"""The regressor of the paper: network, loop, loss, training and weights."""
