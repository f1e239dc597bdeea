"""`python -m probes.comparisons …`: the same command without the plane's command line around it."""

import typer

from probes.comparisons.command import app_command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command("compare")(app_command)

if __name__ == "__main__":
    app(prog_name="trueup compare")
