"""Pictures: what looks, plans and simulations say, drawn. A picture is a document of Vega-Lite, its numbers in it."""
