"""Quality against size and against latency, a point a model."""

from matplotlib.figure import Figure

from ...files import atomic_path

PANEL = (4.2, 3.2)  # inches


def plot_quality(points, path):
    """Draw one panel a measure. Does nothing without points.

    points      dicts with the keys name, quality, metric and those of `axes`
    path        a .png, written atomically
    """
    axes = {"megabytes": "MB on disk", "milliseconds": "milliseconds a text"}
    if not points:
        return
    figure = Figure(figsize=(PANEL[0] * len(axes), PANEL[1]), layout="constrained")
    panels = figure.subplots(1, len(axes), sharey=True)
    for panel, (key, title) in zip(panels, axes.items(), strict=True):
        panel.scatter([point[key] for point in points], [point["quality"] for point in points], color="black")
        for point in points:
            panel.annotate(
                point["name"],
                (point[key], point["quality"]),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize="small",
            )
        panel.set(xlabel=title)
        panel.margins(x=0.3, y=0.2)
        panel.set_xlim(left=0)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(points[0]["metric"])
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
