"""How a run is computed: devices, and the compiled steps."""
