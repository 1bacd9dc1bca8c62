//! Answers as small trees: names, texts, children; attributes and namespaces mean nothing here. PURE.

/// Nodes in one answer. A route table with every route that AWS allows by default has a tenth.
const MOST_NODES: u32 = 100_000;

/// Depth of one answer. Those that are asked for here are below 10.
const DEEPEST: usize = 32;

/// One element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xml {
    name: String,
    text: String,
    children: Vec<Xml>,
}

/// Why an answer is not one.
#[derive(Debug, thiserror::Error)]
pub(super) enum XmlError {
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
    pub(super) fn parse(answer: &[u8]) -> Result<Self, XmlError> {
        let options = roxmltree::ParsingOptions { nodes_limit: MOST_NODES, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(std::str::from_utf8(answer)?, options)?;
        Self::of(document.root_element(), DEEPEST)
    }

    /// The element's name, without a namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text right within the element, without white space around it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first child called `name`.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
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
        Ok(Self {
            name: node.tag_name().name().to_owned(),
            text: node.text().unwrap_or_default().trim().to_owned(),
            children: elements.map(|child| Self::of(child, levels)).collect::<Result<_, _>>()?,
        })
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
    fn refuses_what_grows() {
        let nested = "<a>".repeat(DEEPEST + 1) + &"</a>".repeat(DEEPEST + 1);
        assert!(matches!(Xml::parse(nested.as_bytes()), Err(XmlError::Depth)));
        let abyss = "<a>".repeat(200_000) + &"</a>".repeat(200_000);
        assert!(matches!(Xml::parse(abyss.as_bytes()), Err(XmlError::Syntax(_))));
        let entities = "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>";
        assert!(matches!(Xml::parse(entities.as_bytes()), Err(XmlError::Syntax(_))));
        assert!(matches!(Xml::parse(b"\xff"), Err(XmlError::Encoding(_))));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[<>/a&;!\\[\\]\"= -]{0,80}") {
            let _ = Xml::parse(&bytes);
            let _ = Xml::parse(text.as_bytes());
        }
    }
}
