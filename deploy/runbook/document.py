"""The runbook as a text: its sections, the commands in them, and the alerts that it explains."""

import re
from pathlib import Path

import yaml

from rendered import ROOT

RUNBOOK = ROOT / "deploy/RUNBOOK.md"
ALERTS = ROOT / "deploy/observability/alerts.yaml"
# The section whose subsections are alerts.
ALERT_SECTION = "Alerts"


class Document:
    """`blocks`: {heading: its commands, one text a fence}; a heading without commands has none."""

    def __init__(self):
        self.blocks, self.under = {}, {}
        section = heading = fence = None
        for number, line in enumerate(RUNBOOK.read_text().splitlines(), start=1):
            if fence is not None:
                if line == "```":
                    self.blocks[heading].append("\n".join(fence) + "\n")
                    fence = None
                else:
                    fence.append(line)
            elif line.startswith("```"):
                assert line == "```sh", f"line {number}: all that is fenced is for bash, and executed"
                fence = []
            elif title := re.fullmatch(r"(##|###) (.+)", line):
                heading = title[2]
                assert heading not in self.blocks, f"line {number}: {heading} is there twice"
                section = heading if title[1] == "##" else section
                self.blocks[heading], self.under[heading] = [], section
        assert fence is None, "the last fence is not closed"

    def with_commands(self):
        return {heading for heading, blocks in self.blocks.items() if blocks}

    def check_links(self):
        """Each link into the page leads to a heading, each other one to a file."""
        anchors = {anchor(heading) for heading in self.blocks}
        for target in re.findall(r"\]\(([^)]+)\)", RUNBOOK.read_text()):
            path, _, fragment = target.partition("#")
            if path:
                assert (RUNBOOK.parent / path).exists(), target
            else:
                assert fragment in anchors, target

    def check_alerts(self):
        """Each alert has its section, to which it points, and each section its alert."""
        explained = {heading for heading, section in self.under.items() if section == ALERT_SECTION} - {ALERT_SECTION}
        rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
        alerts = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules}
        assert alerts.keys() == explained, alerts.keys() ^ explained
        for name, url in alerts.items():
            assert url.endswith(f"deploy/RUNBOOK.md#{anchor(name)}"), (name, url)
        return len(alerts)


def anchor(heading):
    """What Markdown's renderers make of a heading, for links."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
