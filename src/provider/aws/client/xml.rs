//! Answers and documents as small trees: names, texts, children. PURE.
//!
//! Attributes and namespaces are not kept: the services' elements have none, but for the namespace of the root. What was
//! read is written back as it was, element by element, whatever the elements mean.

use std::fmt::Write as _;

/// Nodes in one answer. A route table with every route that AWS allows by default has a tenth.
const MOST_NODES: u32 = 100_000;

/// Depth of one answer. Those that are asked for here are below 10.
const DEEPEST: usize = 32;

/// One element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xml {
    name: String,
    /// Of an element without children, to the byte.
    text: String,
    children: Vec<Xml>,
}

/// Why an answer is not one.
#[derive(Debug, thiserror::Error)]
pub(in crate::provider::aws) enum XmlError {
    /// Not text.
    #[error("the answer is not UTF-8")]
    Encoding(#[from] std::str::Utf8Error),
    /// Not XML, or too many nodes.
    #[error("the answer is not XML")]
    Syntax(#[from] roxmltree::Error),
    /// Elements within elements within elements.
    #[error("the answer is nested more than {DEEPEST} deep")]
    Depth,
}

// === impl Xml ===

impl Xml {
    /// The root of `answer`. Document types, and with them entities, are refused.
    pub(in crate::provider::aws) fn parse(answer: &[u8]) -> Result<Self, XmlError> {
        let options = roxmltree::ParsingOptions { nodes_limit: MOST_NODES, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(std::str::from_utf8(answer)?, options)?;
        Self::of(document.root_element(), DEEPEST)
    }

    /// The element's name, without a namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of an element without children, without white space around it.
    pub fn text(&self) -> &str {
        self.text.trim()
    }

    /// The same, as it is written.
    pub(in crate::provider::aws) fn exact_text(&self) -> &str {
        &self.text
    }

    /// An element with text.
    pub(in crate::provider::aws) fn leaf(name: &str, text: impl Into<String>) -> Self {
        Self { name: name.to_owned(), text: text.into(), children: Vec::new() }
    }

    /// An element with elements.
    pub(in crate::provider::aws) fn tree(name: &str, children: impl IntoIterator<Item = Self>) -> Self {
        Self { name: name.to_owned(), text: String::new(), children: children.into_iter().collect() }
    }

    /// What is within the element, in its order.
    pub(in crate::provider::aws) fn children(&self) -> &[Self] {
        &self.children
    }

    /// The same, to be changed.
    pub(in crate::provider::aws) fn children_mut(&mut self) -> &mut Vec<Self> {
        &mut self.children
    }

    /// The first child called `name`, to be changed.
    pub(in crate::provider::aws) fn child_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.children.iter_mut().find(|child| child.name == name)
    }

    /// The document of which this is the root, with a default namespace.
    pub(in crate::provider::aws) fn to_document(&self, namespace: &str) -> String {
        let mut document = format!("<{} xmlns=\"", self.name);
        escape(namespace, &mut document);
        document.push_str("\">");
        self.write_content(&mut document);
        document
    }

    fn write(&self, document: &mut String) {
        document.push('<');
        document.push_str(&self.name);
        document.push('>');
        self.write_content(document);
    }

    /// What follows the opening tag, and the closing one.
    fn write_content(&self, document: &mut String) {
        escape(&self.text, document);
        for child in &self.children {
            child.write(document);
        }
        document.push_str("</");
        document.push_str(&self.name);
        document.push('>');
    }

    /// The first child called `name`.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The same, without the rest.
    pub(in crate::provider::aws) fn into_child(self, name: &str) -> Option<Self> {
        self.children.into_iter().find(|child| child.name == name)
    }

    /// The text of the first child called `name`; `None` when there is no such child, or no text in it.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(Self::text).filter(|text| !text.is_empty())
    }

    /// The entries of the list called `name`, whatever they are called (`item` at EC2, `member` elsewhere).
    /// An absent list is an empty one: that is how the services write it.
    pub fn list(&self, name: &str) -> std::slice::Iter<'_, Self> {
        self.child(name).map_or([].as_slice(), |list| list.children.as_slice()).iter()
    }

    fn of(node: roxmltree::Node<'_, '_>, levels: usize) -> Result<Self, XmlError> {
        let levels = levels.checked_sub(1).ok_or(XmlError::Depth)?;
        let elements = node.children().filter(roxmltree::Node::is_element);
        let children: Vec<_> = elements.map(|child| Self::of(child, levels)).collect::<Result<_, _>>()?;
        let texts = node.children().filter(roxmltree::Node::is_text).filter_map(|child| child.text());
        Ok(Self {
            name: node.tag_name().name().to_owned(),
            // Between elements there is nothing but line breaks.
            text: if children.is_empty() { texts.collect() } else { String::new() },
            children,
        })
    }
}

/// Appends `text` such that a parser reads the same text, whatever it does with line breaks.
fn escape(text: &str, document: &mut String) {
    for c in text.chars() {
        match c {
            '&' => document.push_str("&amp;"),
            '<' => document.push_str("&lt;"),
            '>' => document.push_str("&gt;"),
            '"' => document.push_str("&quot;"),
            '\'' => document.push_str("&apos;"),
            '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' => {
                write!(document, "&#x{:X};", u32::from(c)).expect("a String takes what is written to it");
            }
            c => document.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_names_texts_and_lists() {
        let text = "<?xml version=\"1.0\"?>\n<R xmlns=\"http://x/\"><set><item><id> a&amp;b </id></item><item/></set><none/></R>";
        let root = Xml::parse(text.as_bytes()).expect("well-formed");
        assert_eq!(root.name(), "R");
        let ids: Vec<_> = root.list("set").map(|item| item.text_of("id")).collect();
        assert_eq!(ids, [Some("a&b"), None]);
        assert_eq!(root.list("absent").count() + root.list("none").count(), 0);
        assert_eq!(root.text_of("none"), None);
    }

    #[test]
    fn elements_without_end_are_refused() {
        let nested = "<a>".repeat(DEEPEST + 1) + &"</a>".repeat(DEEPEST + 1);
        assert!(matches!(Xml::parse(nested.as_bytes()), Err(XmlError::Depth)));
        let abyss = "<a>".repeat(200_000) + &"</a>".repeat(200_000);
        assert!(matches!(Xml::parse(abyss.as_bytes()), Err(XmlError::Syntax(_))));
        let entities = "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>";
        assert!(matches!(Xml::parse(entities.as_bytes()), Err(XmlError::Syntax(_))));
        assert!(matches!(Xml::parse(b"\xff"), Err(XmlError::Encoding(_))));
    }

    /// Any tree that an answer may have, at the depth of a record set.
    fn trees() -> impl Strategy<Value = Xml> {
        let leaf = ("[A-Za-z]{1,8}", "[ -~\\t\\n\\rä\u{85}\u{2028}]{0,12}")
            .prop_map(|(name, text)| Xml::leaf(&name, text));
        leaf.prop_recursive(4, 30, 6, |inner| {
            let children = proptest::collection::vec(inner, 1..6);
            ("[A-Za-z]{1,8}", children).prop_map(|(name, children)| Xml::tree(&name, children))
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_exactly(tree in trees()) {
            let document = tree.to_document("https://example.com/?a&\"b\"");
            prop_assert_eq!(Xml::parse(document.as_bytes()).expect("well-formed"), tree);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[<>/a&;!\\[\\]\"= -]{0,80}") {
            let _ = Xml::parse(&bytes);
            let _ = Xml::parse(text.as_bytes());
        }
    }
}
