"""The docs hold together: links lead somewhere, examples can be read, nothing is left out."""

from fnmatch import fnmatch
import json
from pathlib import Path
import re
from typing import Final

from homeassistant.util.yaml import parse_yaml
import pytest

from custom_components.meshmonitor import PLATFORMS
from custom_components.meshmonitor.condition import CONDITIONS
from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.services import _SCHEMAS
from custom_components.meshmonitor.trigger import TRIGGERS
from tests.pages import PAGES, PROJECT, anchors, blocks, codes, links, text_of, without_code

# Where the integration quality scale's rules on documentation are met.
RULES: Final = {
    "docs-actions": "docs/automations.md#actions",
    "docs-conditions": "docs/automations.md#conditions",
    "docs-configuration-parameters": "README.md#virtual-node",
    "docs-data-update": "docs/entities.md#how-data-is-updated",
    "docs-examples": "docs/automations.md#blueprints",
    "docs-high-level-description": "README.md#meshmonitor-for-home-assistant",
    "docs-installation-instructions": "README.md#install",
    "docs-installation-parameters": "README.md#connection",
    "docs-known-limitations": "docs/limitations.md#limitations",
    "docs-removal-instructions": "docs/install.md#remove",
    "docs-supported-devices": "docs/entities.md#supported-devices",
    "docs-supported-functions": "docs/entities.md#supported-functions",
    "docs-triggers": "docs/automations.md#triggers",
    "docs-troubleshooting": "docs/troubleshooting.md#troubleshooting",
    "docs-use-cases": "README.md#what-people-use-it-for",
}
CARDS: Final = {
    *("button", "entities", "glance", "history-graph", "logbook", "map", "markdown"),
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links(page: Path) -> None:
    """Every link inside the project leads to a file, and to a heading there."""
    for link in links(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(PROJECT), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_contents(page: Path) -> None:
    """A page that lists its contents leaves no part of it out."""
    text = without_code(page.read_text())
    listed = re.findall(r"^- \[([^]]+)\]\(#", text, re.MULTILINE)
    assert listed in ([], re.findall(r"^## (.+)$", text, re.MULTILINE))


def test_the_house_in_one_page() -> None:
    """Every file of the integration's code has its place in the plan of the house."""
    [plan] = blocks(text_of("docs/development.md"), "text")[:1]
    named = re.findall(r"[\w*]+\.py\b", plan)
    for file in (PROJECT / "custom_components" / DOMAIN).rglob("*.py"):
        assert any(fnmatch(file.name, name) for name in named), file
    for name in named:
        assert list((PROJECT / "custom_components" / DOMAIN).rglob(name)), name


def test_every_page_is_to_be_found() -> None:
    """From the first page, by links."""
    found: set[Path] = set()
    waiting = [PROJECT / "README.md"]
    while waiting:
        page = waiting.pop()
        found.add(page)
        for link in links(page.read_text()):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target not in found:
                waiting.append(target)
    assert found >= set(PAGES)


def test_the_rules_of_the_quality_scale() -> None:
    """Each of those on documentation has its section."""
    scale = parse_yaml(text_of("custom_components/meshmonitor/quality_scale.yaml"))
    assert isinstance(scale, dict)
    assert {rule for rule in scale["rules"] if rule.startswith("docs-")} == set(RULES)
    for rule, place in RULES.items():
        page, _, anchor = place.partition("#")
        assert anchor in anchors(text_of(page)), rule


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code(page: Path) -> None:
    """Whatever is YAML or JSON can be read as such."""
    text = page.read_text()
    for block in blocks(text, "yaml"):
        assert isinstance(parse_yaml(block.replace("!secret ", "")), dict | list), block
    for block in blocks(text, "json"):
        assert json.loads(block), block


def test_cards() -> None:
    """Cards are of kinds that there are, and about entities of platforms that there are."""
    domains = {platform.value for platform in PLATFORMS} | {"zone"}
    cards = [parse_yaml(block) for block in blocks(text_of("docs/dashboards.md"), "yaml")]
    assert {card["type"] for card in cards if isinstance(card, dict)} == CARDS
    entity_ids = set(
        re.findall(r"\b([a-z_]+)\.[a-z0-9_]+\b(?!\()", " ".join(map(json.dumps, cards)))
    )
    assert "device_tracker" in entity_ids
    # What is called on a client in a template, and the action of a button.
    assert entity_ids - domains <= {"client"}


def test_names() -> None:
    """Triggers, conditions and actions that a page names exist, and each is documented."""
    there_are = {f"{DOMAIN}.{key}" for key in (*TRIGGERS, *CONDITIONS, *_SCHEMAS)}
    for page in PAGES:
        text = page.read_text()
        named = {name for name in codes(text) if re.fullmatch(rf"{DOMAIN}\.[a-z_]+", name)}
        named |= set(re.findall(rf"(?:action|trigger|condition): ({DOMAIN}\.[a-z_]+)", text))
        assert named <= there_are, page
    page_text = text_of("docs/automations.md")
    for name in there_are:
        assert name in page_text, name


def test_commands() -> None:
    """Every command that a person can type is described."""
    for command in (PROJECT / "scripts").iterdir():
        if command.is_file() and not command.suffix:
            assert f"`scripts/{command.name}`" in text_of("docs/development.md"), command.name


def test_no_page_names_a_machine() -> None:
    """A folder of the machine that a page was written on helps nobody."""
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(?:root|tmp|work)/", page.read_text()), page
