"""The text of the runbook: its sections, their commands, and the alerts that they explain."""

import re
from pathlib import Path

import yaml

from rendered import ROOT

RUNBOOK = ROOT / "deploy/RUNBOOK.md"
ALERTS = ROOT / "deploy/observability/alerts.yaml"
# The section whose subsections are alerts.
ALERT_SECTION = "Alerts"


class Document:
    """`blocks`: {heading: [commands of each fenced block]}."""

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
                assert line == "```sh", f"line {number}: every fenced block must be `sh`, since all are executed"
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
        """Each link leads to a heading of the page or to an existing file."""
        anchors = {anchor(heading) for heading in self.blocks}
        for target in re.findall(r"\]\(([^)]+)\)", RUNBOOK.read_text()):
            path, _, fragment = target.partition("#")
            if path:
                assert (RUNBOOK.parent / path).exists(), target
            else:
                assert fragment in anchors, target

    def check_alerts(self):
        """Each alert links to its section, and each section has an alert. Returns the number of alerts."""
        explained = {heading for heading, section in self.under.items() if section == ALERT_SECTION} - {ALERT_SECTION}
        rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
        alerts = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules}
        assert alerts.keys() == explained, alerts.keys() ^ explained
        for name, url in alerts.items():
            assert url.endswith(f"deploy/RUNBOOK.md#{anchor(name)}"), (name, url)
        return len(alerts)


def anchor(heading):
    """The anchor that Markdown renderers generate for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
