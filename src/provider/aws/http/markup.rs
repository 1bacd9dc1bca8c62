//! How much markup an answer has: a look in one pass at what XML parsers take longer than that for. PURE, and linear in
//! the answer's length.
//!
//! Parsers compare each attribute of an element with every other one of it, resolve each prefix among the name spaces
//! of all elements around it, and keep some hundred bytes for an element of four: an answer within the bound of its
//! length may still take a minute and a gigabyte. What the services answer has one attribute, some thousand elements
//! and is ten deep. Whether it is well-formed the parsers say; here everything that they could take for markup is
//! counted.

/// Attributes in a whole answer. The services' have one, the name space of the root.
pub(super) const MOST_ATTRIBUTES: usize = 100;

/// Elements in one answer. A target group with every target that AWS allows by default has 12,000.
const MOST_ELEMENTS: usize = 50_000;

/// Depth of one answer.
const DEEPEST: usize = 32;

/// What an answer has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::provider::aws) enum Excess {
    /// Each is compared with every other.
    #[error("more than {MOST_ATTRIBUTES} attributes")]
    Attributes,
    /// Each takes a place in memory.
    #[error("more than {MOST_ELEMENTS} elements")]
    Elements,
    /// Elements within elements within elements.
    #[error("elements nested more than {DEEPEST} deep")]
    Depth,
    /// With it come entities, and markup of another syntax.
    #[error("a document type, as a web page has")]
    DocumentType,
}

/// Finds what an answer has too much of. Text without markup, such as JSON, has too much of nothing.
pub(super) fn measure(answer: &[u8]) -> Result<(), Excess> {
    let (mut elements, mut attributes, mut depth) = (0, 0, 0_usize);
    let mut rest = answer;
    while let Some(markup) = after(rest, b"<") {
        rest = if let Some(comment) = markup.strip_prefix(b"!--") {
            after(comment, b"-->").unwrap_or_default()
        } else if let Some(text) = markup.strip_prefix(b"![CDATA[") {
            after(text, b"]]>").unwrap_or_default()
        } else if markup.starts_with(b"!") {
            return Err(Excess::DocumentType);
        } else if let Some(instruction) = markup.strip_prefix(b"?") {
            after(instruction, b"?>").unwrap_or_default()
        } else if markup.starts_with(b"/") {
            depth = depth.saturating_sub(1);
            after(markup, b">").unwrap_or_default()
        } else {
            let tag = Tag::read(markup);
            (elements, attributes) = (elements + 1, attributes + tag.attributes);
            depth += usize::from(!tag.is_empty);
            tag.rest
        };
        match () {
            () if attributes > MOST_ATTRIBUTES => return Err(Excess::Attributes),
            () if elements > MOST_ELEMENTS => return Err(Excess::Elements),
            () if depth > DEEPEST => return Err(Excess::Depth),
            () => {}
        }
    }
    Ok(())
}

/// What follows the first `end`.
fn after<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    text.windows(end.len()).position(|window| window == end).map(|at| &text[at + end.len()..])
}

/// A tag that opens an element.
struct Tag<'a> {
    attributes: usize,
    /// Whether it closes it, too.
    is_empty: bool,
    rest: &'a [u8],
}

// === impl Tag ===

impl<'a> Tag<'a> {
    /// Reads to its end, or to the end of the answer.
    fn read(text: &'a [u8]) -> Self {
        let (mut attributes, mut quote, mut last) = (0, None, b' ');
        for (at, &byte) in text.iter().enumerate() {
            match (quote, byte) {
                (Some(open), byte) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'=') => attributes += 1,
                (None, b'>') => return Self { attributes, is_empty: last == b'/', rest: &text[at + 1..] },
                (None, _) => {}
            }
            last = byte;
        }
        Self { attributes, is_empty: false, rest: &[] }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_services_answer_passes() {
        let answer = "<?xml version=\"1.0\"?>\n<!-- a > b --><R xmlns='http://x/?a=b'><s>".to_owned()
            + &"<item><id>a &gt; b</id><none/><text><![CDATA[<a b='c'>]]></text></item>".repeat(12_000)
            + "</s></R>";
        assert_eq!(measure(answer.as_bytes()), Ok(()));
        for text in
            ["", "proxy says no", "{\"Code\": \"Success\", \"Token\": \"a=b==\"}", "a < b", "\u{feff}"]
        {
            assert_eq!(measure(text.as_bytes()), Ok(()), "{text}");
        }
        assert_eq!(measure(b"\xff<a b=\xff"), Ok(()), "it is for others to say what is no text");
    }

    #[test]
    fn what_parsers_do_not_end_with_is_refused() {
        let attributes = |count: usize| (0..count).map(|n| format!(" a{n}=''")).collect::<Vec<_>>().concat();
        let check = |answer: String, expected| assert_eq!(measure(answer.as_bytes()), expected);
        check(format!("<a{}/>", attributes(MOST_ATTRIBUTES)), Ok(()));
        check(format!("<a{}/>", attributes(140_000)), Err(Excess::Attributes));
        check("<a b='c'/>".repeat(MOST_ATTRIBUTES + 1), Err(Excess::Attributes));
        check("<a/>".repeat(MOST_ELEMENTS + 1), Err(Excess::Elements));
        check("<a>".repeat(DEEPEST + 1), Err(Excess::Depth));
        check("<a b='/'>".repeat(DEEPEST + 1), Err(Excess::Depth));
        check("<a><b/></a>".repeat(1_000), Ok(()));
        check("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>".to_owned(), Err(Excess::DocumentType));
        check("<a b='<!DOCTYPE'>".to_owned(), Ok(()));
    }

    #[test]
    fn unclosed_markup_is_scanned_once() {
        // Each of these would take for ever if its rest were looked at again and again.
        for unclosed in ["<!--", "<![CDATA[", "<?", "</", "<a b='", "<a b=\""] {
            let _ = measure(unclosed.repeat(200_000).as_bytes());
        }
    }

    proptest! {
        /// Whatever a parser finds in an answer that passes is within the bounds.
        #[test]
        fn a_parser_finds_no_more(pieces in proptest::collection::vec(
            prop::sample::select(vec![
                "<a", "<b ", "</a>", "</b>", ">", "/>", " c='d'", " e=\"f\"", " g='<'", " h=\"'\"", "'", "\"", "=",
                "<!--", "-->", "--", "<![CDATA[", "]]>", "<?p", "?>", " x ", "&lt;", "<a c='1' e='2' g='3'>",
            ]),
            0..60,
        )) {
            let answer = pieces.concat();
            if let (Ok(()), Ok(document)) = (measure(answer.as_bytes()), roxmltree::Document::parse(&answer)) {
                let elements: Vec<_> = document.descendants().filter(roxmltree::Node::is_element).collect();
                prop_assert!(elements.iter().map(|e| e.attributes().len()).sum::<usize>() <= MOST_ATTRIBUTES);
                prop_assert!(elements.iter().all(|e| e.ancestors().count() <= DEEPEST + 1));
            }
        }

        /// What is counted is what a parser finds.
        #[test]
        fn it_counts_as_a_parser_does(names in proptest::collection::vec("[a-c]", 0..150)) {
            let elements: Vec<_> = names.iter().map(|name| format!("<{name} x='>' y=\"/\" />")).collect();
            let answer = format!("<r>{}</r>", elements.concat());
            let document = roxmltree::Document::parse(&answer).expect("well-formed");
            let found: usize = document.descendants().map(|node| node.attributes().len()).sum();
            prop_assert_eq!(measure(answer.as_bytes()).is_ok(), found <= MOST_ATTRIBUTES);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[<>/a!?\\[\\]\"'= -]{0,80}") {
            let _ = measure(&bytes);
            let _ = measure(text.as_bytes());
        }
    }
}
