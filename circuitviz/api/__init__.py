"""What `import circuitviz` offers, one module for each thing; `circuitviz` itself names it all."""
