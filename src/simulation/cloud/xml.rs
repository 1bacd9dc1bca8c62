//! Writes XML as the answers of AWS need it: elements and text. PURE.

use std::fmt::{Display, Write as _};

/// Text of elements, one after the other.
#[derive(Debug, Default)]
pub(super) struct Xml(String);

impl Xml {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// An element with text.
    pub(super) fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        let text = value.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.element(name, |xml| _ = xml.raw(&text))
    }

    /// An element with text, if there is any.
    pub(super) fn optional(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// An element with what `content` writes.
    pub(super) fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) -> &mut Self {
        // A name may carry attributes: `X xmlns="..."`.
        let end = name.split(' ').next().unwrap_or(name);
        let _ = write!(self.0, "<{name}>");
        content(self);
        let _ = write!(self.0, "</{end}>");
        self
    }

    /// A list: `<name><item>..</item>...</name>`.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        item: &str,
        values: impl IntoIterator<Item = T>,
        mut content: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.element(name, |list| {
            for value in values {
                list.element(item, |xml| content(xml, value));
            }
        })
    }

    /// Elements that are written already.
    pub(super) fn raw(&mut self, elements: &str) -> &mut Self {
        self.0.push_str(elements);
        self
    }

    /// What was written.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_attributes_are_not_closed() {
        let mut xml = Xml::new();
        xml.element("A xmlns=\"x\"", |a| {
            a.text("B", "<&>").optional("C", None::<&str>).list("D", "e", [1, 2], |e, n| {
                e.text("f", n);
            });
        });
        let expected = "<A xmlns=\"x\"><B>&lt;&amp;&gt;</B><D><e><f>1</f></e><e><f>2</f></e></D></A>";
        assert_eq!(xml.finish(), expected);
    }
}
