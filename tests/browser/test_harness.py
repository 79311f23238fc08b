"""The harness sees what it is there to see: live figures, and every kind of error."""

FIGURE = """
import threading
import plotly.graph_objects as go
figure = go.FigureWidget(go.Scatter(y=[1, 2, 3], name="before"))
figure.layout.showlegend = True
figure
"""


def test_a_figure_follows_a_background_thread(open_notebook):
    notebook = open_notebook([FIGURE])
    notebook.wait_for_plot()
    notebook.run(
        "def change():\n"
        "    with figure.batch_update():\n"
        "        figure.data[0].name = 'after'\n"
        "        figure.data[0].y = [3, 1, 2]\n"
        "worker = threading.Thread(target=change)\n"
        "worker.start()\n"
        "worker.join()"
    )
    notebook.page.locator(".legendtext", has_text="after").wait_for()
    drawn = notebook.page.evaluate(
        "Array.from(document.querySelector('.js-plotly-plot')._fullData[0].y)"
    )
    assert drawn == [3, 1, 2]
    assert notebook.problems() == []


def test_a_widget_reaches_the_kernel(open_notebook):
    notebook = open_notebook(["import ipywidgets\nbox = ipywidgets.Text()\nbox"])
    notebook.page.locator(".widget-text input").fill("moved")
    notebook.wait_for("box.value == 'moved'")


def test_an_error_in_a_cell_is_seen(open_notebook):
    notebook = open_notebook(["1 / 0"])
    assert any("ZeroDivisionError" in problem for problem in notebook.problems())
    notebook.expect("ZeroDivisionError")
    assert notebook.problems() == []


def test_an_error_in_a_callback_is_seen(open_notebook):
    notebook = open_notebook(
        [
            "import ipywidgets\n"
            "button = ipywidgets.Button(description='break')\n"
            "button.on_click(lambda _: {}['no such key'])\n"
            "button"
        ]
    )
    assert notebook.problems() == []
    notebook.page.locator("button", has_text="break").click()
    notebook.wait_for_problem("no such key")


def test_errors_and_foreign_requests_of_the_page_are_seen(open_notebook):
    notebook = open_notebook([])
    notebook.page.evaluate("console.error('said on the console')")
    notebook.page.evaluate("setTimeout(() => { throw new Error('thrown in the page') })")
    notebook.page.evaluate("fetch('http://example.invalid/tracker').catch(() => {})")
    for pattern in ("said on the console", "thrown in the page", "example.invalid"):
        notebook.wait_for_problem(pattern)
