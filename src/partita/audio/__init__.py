"""Audio in and out: streaming readers, sample-rate and channel conversion, stem files, tags."""
