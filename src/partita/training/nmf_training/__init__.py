"""Training of models that factorise: dictionaries and gains."""
