"""The compute core: torch and numpy only, without plotly and ipywidgets."""
