"""The figure widget."""

import plotly.graph_objects as go

from geoexplorer.widgets.plot import Library, Plot


def test_a_page_that_comes_later_gets_the_figure_as_it_is_now():
    plot = Plot(go.Figure(go.Scatter(name="before")), Library())
    with plot.batch_update():
        plot.data[0].update(name="after", line={"color": "red"})
        plot.layout.xaxis.title.text = "distance"
    state = plot.get_state()
    (trace,) = state["_widget_data"]
    assert (trace["name"], trace["line"]["color"]) == ("after", "red")
    assert state["_widget_layout"]["xaxis"]["title"]["text"] == "distance"
    plot.data[0].name = "later"
    assert trace["name"] == "after", "what was sent is a copy"
    plot.close()
