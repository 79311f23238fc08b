"""The bundled networks: one safetensors file each, written by geoexplorer.zoo.train."""
