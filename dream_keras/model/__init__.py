"""From an order to a Keras model."""
