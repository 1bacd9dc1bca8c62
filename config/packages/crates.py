"""What the binary is made of: the bill of materials, whose licences it is under, and their texts.

Cargo says which crates are linked, for this machine and without the features that packages leave out. All of it is
sorted and dated by the caller, so that the same source gives the same bytes.
"""

import json
import re
import subprocess
import uuid
from datetime import datetime, timezone
from pathlib import Path

NOTICE = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)


class Crates:
    def __init__(self, root):
        self.root = root
        options = ["--locked", "--no-default-features"]
        host = re.search(r"host: (\S+)", run(root, "rustc", "-vV"))[1]
        metadata = json.loads(run(root, "cargo", "metadata", *options, "--format-version=1", "--filter-platform", host))
        tree = ["--edges=normal", "--prefix=none", "--format={p}", "--target", host]
        linked = {tuple(line.split()[:2]) for line in run(root, "cargo", "tree", *options, *tree).splitlines() if line}
        packages = [package for package in metadata["packages"] if (package["name"], "v" + package["version"]) in linked]
        [own] = [package for package in packages if package["name"] == "mirrorvip"]
        # A version before a release, 1.0.0-rc.1, is older than it: `~` says that to both formats.
        self.version = own["version"].replace("-", "~")
        self.description, self.license, self.own = own["description"], own["license"], own
        others = [package for package in packages if package is not own]
        self.others = sorted(others, key=lambda package: (package["name"], package["version"]))
        self.nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}

    def sbom(self, epoch):
        """The bill of materials, as CycloneDX 1.5."""
        known = {package["id"]: reference(package) for package in [self.own, *self.others]}
        sums = checksums(self.root / "Cargo.lock")
        dependencies = []
        for identity, name in sorted(known.items(), key=lambda item: item[1]):
            linked = [edge["pkg"] for edge in self.nodes[identity]["deps"] if is_normal(edge)]
            below = sorted(known[other] for other in linked if other in known)
            dependencies.append({"ref": name, "dependsOn": below})
        bill = {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "timestamp": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "component": component("application", self.own, sums),
            },
            "components": [component("library", package, sums) for package in self.others],
            "dependencies": dependencies,
        }
        number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill, sort_keys=True))
        return json.dumps({"serialNumber": f"urn:uuid:{number}", **bill}, indent=1) + "\n"

    def copyright(self, _epoch):
        """Debian's machine-readable copyright file, with the licence in full: rpm's systems lack Debian's copy."""
        text = (self.root / "LICENSE").read_text().rstrip()
        indented = "".join(f" {line.rstrip() or '.'}\n" for line in text.splitlines())
        return (
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
            "Upstream-Name: mirrorvip\n"
            "Comment: The crates that are linked in are listed in sbom.cdx.json beside this file, and the texts of\n"
            " their licences in third-party-licences.gz.\n\n"
            f"Files: *\nCopyright: the authors of mirrorvip\nLicense: {self.license}\n{indented}"
        )

    def notices(self, _epoch):
        """Every licence and notice that a linked crate comes with, once, below the names of those that have it."""
        texts, without = {}, []
        for package in self.others:
            name = f"{package['name']} {package['version']} ({package['license']})"
            directory = Path(package["manifest_path"]).parent
            files = sorted(path for path in directory.iterdir() if path.is_file() and NOTICE.match(path.name))
            for path in files:
                text = path.read_text(errors="replace").replace("\r\n", "\n").strip()
                texts.setdefault(text, []).append(name)
            if not files:
                without.append(name)
        lines = ["Licences of the crates in mirrorvip.", "", "Without a file of their own:", *without, ""]
        for text, names in sorted(texts.items(), key=lambda item: item[1]):
            lines += ["=" * 80, *dict.fromkeys(names), "-" * 80, text, ""]
        return "\n".join(lines)


def is_normal(edge):
    return any(kind["kind"] is None for kind in edge["dep_kinds"])


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(kind, package, sums):
    found = sums.get((package["name"], package["version"]))
    return {
        "type": kind,
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
        # Older crates write "MIT/Apache-2.0".
        "licenses": [{"expression": package["license"].replace("/", " OR ")}] if package["license"] else [],
        **({"hashes": [{"alg": "SHA-256", "content": found}]} if found else {}),
    }


def checksums(lock):
    entry = re.compile(r'name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(.+)"')
    return {(name, version): found for name, version, found in entry.findall(lock.read_text())}


def run(root, *command):
    return subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
