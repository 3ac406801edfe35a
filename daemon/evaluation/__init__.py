"""Measures of the product, as commands: `pokedexd eval`."""
