//! README and the documents below `docs/`: what they show, and where their links lead.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of this module")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// One Markdown file.
pub struct Document {
    /// Its path from the top of the repository, such as `docs/install.md`.
    pub name: String,
    pub text: String,
}

/// A block of code: what stands behind its fence, and its lines.
pub struct Block {
    pub language: String,
    pub text: String,
}

/// Where a link leads.
pub struct Link {
    /// The file or directory, from the top of the repository.
    pub path: PathBuf,
    /// The heading in it, if the link names one.
    pub anchor: Option<String>,
}

/// README first, then every document below `docs/` by its name.
pub fn all() -> Vec<Document> {
    let mut names = Vec::new();
    let mut directories = vec![root().join("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("the documents can be listed") {
            let path = entry.expect("the documents can be listed").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(root()).expect("it is below the root");
                names.push(name.to_str().expect("names of documents are text").to_owned());
            }
        }
    }
    names.sort();
    ["README.md".to_owned()].into_iter().chain(names).map(|name| Document::read(&name)).collect()
}

/// All of them, one after the other.
pub fn text() -> String {
    all().into_iter().map(|document| document.text + "\n").collect()
}

/// The blocks of code in one language, of all of them.
pub fn blocks(language: &str) -> Vec<Block> {
    all().iter().flat_map(|document| document.blocks(language)).collect()
}

/// Fails unless `directory` holds every document, and everything that one of them links to: a server has no internet.
pub fn assert_complete(directory: &Path) {
    for document in all() {
        let there = fs::read_to_string(directory.join(&document.name)).unwrap_or_default();
        assert!(there == document.text, "{} is missing or differs", document.name);
        for link in document.links() {
            let path = link.path.display();
            assert!(
                directory.join(&link.path).exists(),
                "{} links to {path}, which is missing",
                document.name
            );
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept: String = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
    kept.replace(' ', "-")
}

// === impl Document ===

impl Document {
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name));
        Self { name: name.to_owned(), text: text.unwrap_or_else(|error| panic!("{name}: {error}")) }
    }

    /// Splits the text into what is outside of fences, line by line, and the blocks of code.
    fn parts(&self) -> (Vec<&str>, Vec<Block>) {
        let (mut prose, mut blocks, mut open): (_, Vec<Block>, Option<Block>) =
            (Vec::new(), Vec::new(), None);
        for line in self.text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(language), None) => {
                    open = Some(Block { language: language.to_owned(), text: String::new() });
                }
                (None, Some(block)) => block.text.extend([line, "\n"]),
                (None, None) => prose.push(line),
            }
        }
        assert!(open.is_none(), "{} does not close a block of code", self.name);
        (prose, blocks)
    }

    /// The blocks of code in one language; `toml` includes `toml fragment`.
    pub fn blocks(&self, language: &str) -> Vec<Block> {
        let (_, mut blocks) = self.parts();
        blocks.retain(|block| block.language.split(' ').next() == Some(language));
        blocks
    }

    /// The blocks of code in one language below one heading, up to the next heading of any level.
    pub fn blocks_below(&self, heading: &str, language: &str) -> Vec<String> {
        let (_, rest) = self
            .text
            .split_once(&format!("\n{heading}\n"))
            .unwrap_or_else(|| panic!("{} has no heading {heading}", self.name));
        let section = rest.split("\n#").next().unwrap_or_default();
        // A comment at the beginning of a line of shell reads like a heading: the block is then cut off.
        assert_eq!(
            section.matches("\n```").count() % 2,
            0,
            "{heading} has a block with a line that begins with #"
        );
        let section = Self { name: self.name.clone(), text: section.to_owned() };
        let found: Vec<_> = section.blocks(language).into_iter().map(|block| block.text).collect();
        assert!(!found.is_empty(), "{}: {heading} shows no {language}", self.name);
        found
    }

    pub fn anchors(&self) -> BTreeSet<String> {
        let (prose, _) = self.parts();
        let headings = prose.into_iter().filter(|line| line.starts_with('#'));
        // Pages of the runbook share their sections' names: no link leads to those.
        let mut anchors = BTreeMap::<String, usize>::new();
        headings.for_each(|heading| *anchors.entry(anchor(heading)).or_default() += 1);
        anchors.into_iter().filter(|&(_, count)| count == 1).map(|(anchor, _)| anchor).collect()
    }

    /// Its links but those to other sites.
    pub fn links(&self) -> Vec<Link> {
        let (prose, _) = self.parts();
        let prose = prose.join("\n");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://")).map(|target| self.link(target)).collect()
    }

    fn link(&self, target: &str) -> Link {
        let (path, anchor) =
            target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        let anchor = anchor.map(str::to_owned);
        if path.is_empty() {
            return Link { path: PathBuf::from(&self.name), anchor };
        }
        let mut resolved = Path::new(&self.name).parent().unwrap_or(Path::new("")).to_owned();
        for part in Path::new(path).components() {
            match part {
                Component::ParentDir => assert!(resolved.pop(), "{} leaves the repository", self.name),
                part => resolved.push(part),
            }
        }
        Link { path: resolved, anchor }
    }
}
