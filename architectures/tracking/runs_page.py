"""The page that starts runs: choose, see the command, start it, watch loss and output, read the report.

It runs what the command line could, as a process of its own, one at a time: nothing else.
"""

import base64
import html
import re
import shlex
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from architectures.tracking import run_folders
from architectures.tracking.run_process import RunProcess
from architectures.values import Event, JsonObject

if TYPE_CHECKING:  # takes seconds to import
    import gradio as gr
    import pandas as pd

DEFAULT = "(default)"
EVERY = 2.0  # seconds between two looks at the run
COLUMNS = ["run", "status", "validation"]
PICTURE = re.compile(r'(<img[^>]*src=")([\w.-]+\.png)(")')
ACTIONS = ("Gate", "Chat", "Compare")
PRIVATE: JsonObject = {"api_visibility": "private"}


@dataclass(frozen=True)
class RunsSite:
    """What the page shows and starts.

    root: of the project, whose YAML files are the choices. outputs: folder of the runs.
    """

    root: Path
    outputs: Path

    def choices(self, group: str) -> list[str]:
        """What there is of a configuration group."""
        return [DEFAULT, *sorted(path.stem for path in (self.root / "config" / group).glob("*.yaml"))]

    def arguments(self, model: str, data: str, experiment: str, table: str, further: str) -> list[str]:
        """The arguments of train.py that the choices make. further: settings, one a line."""
        chosen = {"model": model, "data": data, "+experiment": experiment}
        words = [f"{key}={name}" for key, name in chosen.items() if name and name != DEFAULT]
        if table.strip():
            words.append(f"data.path={table.strip()}")
        words += [line.strip() for line in further.splitlines() if line.strip()]
        return [*words, f"outputs={self.outputs}"]

    @cached_property
    def process(self) -> RunProcess:
        """What is running."""
        return RunProcess(self.root, self.outputs / "runs-page.log")

    def state(self) -> "tuple[str, str, pd.DataFrame, list[list[str]]]":
        """(status, output, losses of the newest run, all runs)"""
        import pandas as pd

        folders = run_folders.run_folders(self.outputs)
        curve = run_folders.losses(folders[0]) if folders else []
        losses = pd.DataFrame(curve, columns=["step", "loss", "of"])
        rows = [run_folders.state_row(folder) for folder in folders]
        name = f" (losses: {folders[0].name})" if folders else ""
        return f"**{self.process.status}**{name}", self.process.output(), losses, rows

    def names(self) -> list[str]:
        """Of the runs, the newest first."""
        return [folder.name for folder in run_folders.run_folders(self.outputs)]

    def report(self, chosen: list[str]) -> str:
        """The report of the first of the chosen runs, as HTML; '' if none is chosen."""
        known = [name for name in chosen if name in self.names()]
        return _framed(self.outputs / "runs" / known[0] / run_folders.REPORT_FILE) if known else ""

    def further(self, action: str, chosen: list[str]) -> list[str]:
        """The command that goes on from chosen runs: Gate, Chat or Compare. Raises ValueError if none is
        chosen.
        """
        folders = [str(self.outputs / "runs" / name) for name in chosen if name in self.names()]
        if not folders:
            raise ValueError("Choose a run first.")
        if action == "Compare":
            return ["evaluate.py", f"compare=[{','.join(folders)}]", f"outputs={self.outputs}"]
        script = ["app.py", "port=0"] if action == "Chat" else ["evaluate.py", "gate=true"]
        return [*script, f"ckpt={folders[0]}/model", f"outputs={self.outputs}"]


def command_line(arguments: list[str]) -> str:
    """What to type for a run."""
    return shlex.join(["python", "train.py", *arguments])


def _framed(page: Path) -> str:
    """A page with its pictures, in a frame of its own that may do nothing."""
    if not page.is_file():
        return "<p>There is no report yet.</p>"

    def inlined(found: re.Match[str]) -> str:
        picture = page.parent / found[2]
        data = base64.b64encode(picture.read_bytes()).decode() if picture.is_file() else ""
        return f"{found[1]}data:image/png;base64,{data}{found[3]}"

    text = html.escape(PICTURE.sub(inlined, page.read_text(encoding="utf-8")))
    return (
        f'<iframe sandbox srcdoc="{text}" style="width:100%;height:800px;border:1px solid #d7dee2"></iframe>'
    )


def runs_page(site: RunsSite, title: str) -> "gr.Blocks":
    """The page, not launched yet."""
    import gradio as gr

    with gr.Blocks(title=title, analytics_enabled=False) as blocks:
        gr.Markdown(f"# {title}: runs")
        with gr.Row():
            chosen: list[Event] = []
            for label, group in (("Model", "model"), ("Data", "data"), ("Experiment", "experiment")):
                chosen.append(gr.Dropdown(site.choices(group), value=DEFAULT, label=label, filterable=True))
        with gr.Row():
            table = gr.Textbox(label="Table", placeholder="path of a table of your own (data.path)")
            hint = "trainer.learning_rate=1e-3\ndata.columns.price=price"
            further = gr.Textbox(label="Further settings, one a line", lines=2, placeholder=hint)
        inputs = [*chosen, table, further]
        command = gr.Code(command_line(site.arguments(DEFAULT, DEFAULT, DEFAULT, "", "")), language="shell",
                          label="The command", interactive=False, elem_id="command")  # fmt: skip
        with gr.Row():
            plan, start = gr.Button("Plan"), gr.Button("Start", variant="primary")
            stop = gr.Button("Stop", variant="stop")
        state = _progress()
        runs = gr.Dropdown([], multiselect=True, label="Runs to go on from", elem_id="chosen")
        with gr.Row():
            further_on = [gr.Button(action) for action in ACTIONS]
        report = gr.HTML(elem_id="report")
        _connect_start(site, inputs, command, [plan, start, stop], state)
        _connect_runs(site, runs, further_on, report, state)
        gr.Timer(EVERY).tick(site.state, None, state, show_progress="hidden", **PRIVATE)
    return blocks.queue()


def _progress() -> "list[Event]":
    """Status, output, losses, table of the runs."""
    import gradio as gr

    status = gr.Markdown()
    with gr.Row():
        output = gr.Textbox(label="Output", lines=16, max_lines=16, autoscroll=True, elem_id="output")
        losses = gr.LinePlot(x="step", y="loss", color="of", label="Loss", height=380)
    runs = gr.Dataframe(headers=COLUMNS, label="Runs", interactive=False, max_height=260, elem_id="runs")
    return [status, output, losses, runs]


def _started(site: RunsSite, arguments: list[str]) -> Event:
    """Start a command; what the page then shows. Raises Gradio's error while another one runs."""
    import gradio as gr

    try:
        site.process.start(arguments)
    except ValueError as error:
        raise gr.Error(str(error)) from None
    return site.state()


def _connect_start(
    site: RunsSite, inputs: list[Event], command: Event, buttons: list[Event], state: list[Event]
) -> None:
    """Choices make a command, which the buttons plan, start and stop."""
    plan, start, stop = buttons

    def begin(*values: str) -> Event:
        return _started(site, ["train.py", *site.arguments(*values)])

    def planned(*values: str) -> Event:
        return _started(site, ["train.py", *site.arguments(*values), "stage=plan"])

    for component in inputs:
        component.change(lambda *values: command_line(site.arguments(*values)), inputs, command, **PRIVATE)
    plan.click(planned, inputs, state, **PRIVATE)
    start.click(begin, inputs, state, **PRIVATE)
    stop.click(site.process.stop, None, None, **PRIVATE)


def _connect_runs(
    site: RunsSite, runs: Event, buttons: list[Event], report: Event, state: list[Event]
) -> None:
    """Chosen runs show their report, and are judged, chatted with or compared."""
    import gradio as gr

    def go_on(action: str, chosen: list[str]) -> Event:
        try:
            arguments = site.further(action, chosen)
        except ValueError as error:
            raise gr.Error(str(error)) from None
        return _started(site, arguments)

    runs.focus(lambda: gr.Dropdown(choices=site.names()), None, runs, **PRIVATE)
    runs.change(site.report, runs, report, **PRIVATE)
    for button, action in zip(buttons, ACTIONS, strict=True):
        button.click(partial(go_on, action), runs, state, **PRIVATE)
