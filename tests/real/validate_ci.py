"""Holds what `kinprobe check` writes for build servers against the formats' own schemas.

    python tests/real/validate_ci.py --xsd junit-10.xsd --sarif sarif-schema-2.1.0.json OUT…

JUnit files (.xml) against the schema of Jenkins' xunit plugin, SARIF files (.sarif) against the OASIS schema 2.1.0,
and summaries (.md) through GitHub's Markdown renderer: nothing in them may become a link, a picture or a script.
Prints a line per kind, and a line per file that does not hold; exit code 1 if there is any. A folder stands for the
files in it. Documents of the hostile corpus are written by

    KINPROBE_HOSTILE_OUT=FOLDER cargo test --lib the_corpus_is_written_where_asked

Needs lxml, jsonschema and cmarkgfm.
"""

import argparse
import collections
import json
import pathlib
import sys

import cmarkgfm
import jsonschema
import lxml.etree
import lxml.html

TAGS = {"div", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "wbr", "strong"}


def junit(schema, path):
    try:
        document = lxml.etree.parse(path)
    except lxml.etree.XMLSyntaxError as error:
        return [f"not XML: {error}"]
    schema.validate(document)
    return [str(error) for error in schema.error_log]


def sarif(validator, path):
    log = json.loads(path.read_text())
    wrong = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(log)]
    rules = [rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]]
    for result in log["runs"][0]["results"]:
        if rules[result["ruleIndex"]] != result["ruleId"]:
            wrong.append(f"{result['ruleId']} is not rule {result['ruleIndex']}")
    return wrong


def summary(path):
    # With raw HTML let through, as nothing but the template's own may be there.
    raw = cmarkgfm.cmark.Options.CMARK_OPT_UNSAFE
    page = cmarkgfm.github_flavored_markdown_to_html(path.read_text(), options=raw)
    tree = lxml.html.fragment_fromstring(page, create_parent="div")
    wrong = [f"<{one.tag}>" for one in tree.iter() if one.tag not in TAGS]
    wrong += [f"{one.tag} {dict(one.attrib)}" for one in tree.iter() if set(one.attrib) - {"align"}]
    for table in tree.iter("table"):
        widths = {len(row) for row in table.iter("tr")}
        if len(widths) != 1:
            wrong.append(f"rows of {sorted(widths)} cells")
    return wrong


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--xsd", required=True, type=pathlib.Path)
    arguments.add_argument("--sarif", required=True, type=pathlib.Path)
    arguments.add_argument("out", nargs="+", type=pathlib.Path)
    given = arguments.parse_args()
    xsd = lxml.etree.XMLSchema(lxml.etree.parse(given.xsd))
    schema = json.loads(given.sarif.read_text())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    checks = {
        ".xml": lambda path: junit(xsd, path),
        ".sarif": lambda path: sarif(validator, path),
        ".md": summary,
    }
    files = []
    for place in given.out:
        files += sorted(place.iterdir()) if place.is_dir() else [place]
    held, failed = collections.Counter(), 0
    for path in files:
        wrong = checks[path.suffix](path)
        held[path.suffix] += not wrong
        failed += bool(wrong)
        for reason in wrong:
            print(f"{path}: {reason[:300]}")
    for suffix, count in sorted(held.items()):
        print(f"{suffix}: {count} hold")
    if failed:
        print(f"{failed} do not")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
