//! Writing XML, as much of it as the answers of AWS need: elements and text. PURE.

use std::fmt::Display;

/// Text of elements, one after the other.
#[derive(Debug, Default)]
pub(super) struct Xml(String);

impl Xml {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// An element with text.
    pub(super) fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.open(name);
        for c in value.to_string().chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                c => self.0.push(c),
            }
        }
        self.close(name)
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
        self.open(name);
        content(self);
        self.close(name)
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

    fn open(&mut self, name: &str) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
    }

    fn close(&mut self, name: &str) -> &mut Self {
        // A name may carry attributes: `X xmlns="..."`.
        let name = name.split(' ').next().unwrap_or(name);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
        self
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
